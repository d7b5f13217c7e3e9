package awslocal

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxBodyBytes bounds a request body, compressed or not. The largest request
// allowed, PutRecords with 10 MiB of data in base64, is below 15 MiB.
const maxBodyBytes = 16 << 20

// call is one API request on its way through the server.
type call struct {
	http  *http.Request
	op    *operation
	raw   []byte     // body as received
	body  []byte     // decompressed, and JSON
	cbor  bool       // it came as CBOR, and is answered so
	form  url.Values // of an awsQuery call
	fault Fault      // being played, for those faults that an operation itself plays
	rec   *Request

	began     time.Time
	aborted   bool // the client went while sending
	processed bool // the operation was let at it
	noted     bool // rec is in the log, and changes only through it

	answerHeader http.Header // to add to the answer of a plain operation
}

// operation is one API operation. handle decodes the call, works on it and
// returns what is to be answered: a value for JSON (awsJson1_1) or for XML
// (awsQuery).
type operation struct {
	service *service
	name    string
	handle  func(*Server, *call) (any, *apiError)
	discard func(*Server, *call) any // instead of handle under Config.Discard; nil means handle
}

// service is what the services differ in.
type service struct {
	name       string // in signatures, and in Request.Service
	target     string // of X-Amz-Target, for the JSON services
	protocol   protocol
	operations map[string]*operation
}

// protocol is how a service words its answers.
type protocol int

const (
	awsJSON  protocol = iota // awsJson1_1
	awsQuery                 // forms in, XML out
	plain                    // the metadata endpoints: an operation returns a body or a value for JSON
)

// apiError is a refusal as the services word it.
type apiError struct {
	status  int
	code    string
	message string
	extra   map[string]any // further members of the error
}

func refuse(code, format string, args ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, code: code, message: fmt.Sprintf(format, args...)}
}

// invalid words a failed constraint in the way of the AWS front ends.
func invalid(code, member, constraint string) *apiError {
	return refuse(code, "1 validation error detected: Value at '%s' failed to satisfy constraint: Member must %s", member, constraint)
}

// answer is a whole HTTP answer.
type answer struct {
	status int
	header http.Header
	body   []byte
	code   string // error code, empty for success
}

var services = makeServices(logsService, kinesisService, firehoseService, stsService, endpointService)

func makeServices(all ...*service) []*service {
	for _, svc := range all {
		for name, op := range svc.operations {
			op.service, op.name = svc, name
		}
	}
	return all
}

// serveAll is the handler of the endpoint.
func (s *Server) serveAll(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" {
		s.serveAPI(w, r)
		return
	}
	s.serveControl(w, r)
}

// serveAPI answers an API call: it notes it, reads it, authenticates it, and
// lets a fault or the operation decide the answer.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	c, done := s.newCall(r)
	defer done()
	c.rec.Auth = parseAuth(r.Header.Get("Authorization"))

	isQuery := s.findTarget(c)
	// A fault that depends on the stream can only be chosen once the request
	// has been read; the others can cut the connection before that.
	picked := c.op != nil && !s.faults.needNames(c.op.name)
	var fault Fault
	if picked {
		fault = s.faults.pick(c.op.name, nil)
		if fault.Kind == Reset {
			s.played(c, fault)
			s.sleep(r.Context(), fault.Delay)
			s.drop(w, c)
			return
		}
	}

	release, bad := s.readBody(w, c)
	defer release()
	if c.aborted {
		return // the client went away while sending
	}
	if bad == nil && isQuery {
		bad = s.findAction(c)
		if bad == nil && !picked && !s.faults.needNames(c.op.name) {
			fault, picked = s.faults.pick(c.op.name, nil), true
		}
	}
	if bad == nil && c.op == nil {
		bad = refuse("UnknownOperationException", "unknown operation %q", r.Header.Get("X-Amz-Target"))
	}
	if bad == nil && !(s.cfg.Discard && c.op.discard != nil) {
		bad = s.authenticate(c)
	}
	if bad != nil {
		s.send(w, c, s.refusal(c, bad))
		return
	}
	if !picked {
		fault = s.faults.pick(c.op.name, namesIn(c.body))
	}
	s.play(w, c, fault)
}

// newCall begins to note a call; done ends it.
func (s *Server) newCall(r *http.Request) (c *call, done func()) {
	c = &call{http: r, began: time.Now(), rec: &Request{ID: newRequestID(), Time: s.cfg.Now(), Header: r.Header.Clone(), Host: r.Host, Path: r.URL.Path,
		Remote: r.RemoteAddr, Method: r.Method, Proto: r.Proto}}
	return c, func() { s.note(c) }
}

// note puts a call into the log. It is done before the client can see anything
// of the answer, so that whoever called the server finds the call there.
func (s *Server) note(c *call) {
	if c.noted {
		return
	}
	c.noted = true
	c.rec.Took = time.Since(c.began)
	s.calls.add(&s.cfg, c.rec)
}

// lost notes that the answer of a call did not arrive. For calls that were not
// worked on that is no loss.
func (s *Server) lost(c *call) {
	switch {
	case !c.processed:
	case c.noted:
		s.calls.lost(c.rec)
	default:
		c.rec.Lost = true
	}
}

// drop ends the connection of a call in place of an answer.
func (s *Server) drop(w http.ResponseWriter, c *call) {
	s.note(c)
	cut(w, true)
}

// findTarget looks up the operation of an awsJson call. It says whether the call
// is an awsQuery one, whose operation is in the body.
func (s *Server) findTarget(c *call) (isQuery bool) {
	target := c.http.Header.Get("X-Amz-Target")
	if target == "" {
		return true
	}
	prefix, name, _ := strings.Cut(target, ".")
	for _, svc := range services {
		if svc.target == prefix && svc.target != "" {
			c.rec.Service = svc.name
			if op := svc.operations[name]; op != nil {
				c.op, c.rec.Operation = op, name
			}
		}
	}
	return false
}

// findAction looks up the operation of an awsQuery call.
func (s *Server) findAction(c *call) *apiError {
	if t, _, _ := mime.ParseMediaType(c.http.Header.Get("Content-Type")); t != "application/x-www-form-urlencoded" {
		return &apiError{http.StatusNotFound, "UnknownOperationException", "no X-Amz-Target and not a form", nil}
	}
	c.rec.Service = stsService.name
	form, err := url.ParseQuery(string(c.body))
	if err != nil {
		return refuse("MalformedQueryString", "%v", err)
	}
	c.form = form
	op := stsService.operations[form.Get("Action")]
	if op == nil {
		return refuse("InvalidAction", "Could not find operation %s for version %s", form.Get("Action"), form.Get("Version"))
	}
	c.op, c.rec.Operation = op, op.name
	if form.Get("Version") != "2011-06-15" {
		return refuse("InvalidAction", "Could not find operation %s for version %s", op.name, form.Get("Version"))
	}
	return nil
}

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// readBody reads and decompresses the body. release gives its memory back, and
// must be called when the call is done with.
func (s *Server) readBody(w http.ResponseWriter, c *call) (release func(), bad *apiError) {
	buf := bodies.Get().(*bytes.Buffer)
	buf.Reset()
	release = func() { bodies.Put(buf) }
	if n := c.http.ContentLength; n > 0 && n <= maxBodyBytes {
		buf.Grow(int(n) + bytes.MinRead)
	}
	_, err := buf.ReadFrom(http.MaxBytesReader(w, c.http.Body, maxBodyBytes))
	c.rec.BodyBytes = buf.Len()
	raw := buf.Bytes()
	if s.cfg.KeepBodies {
		c.rec.Body = bytes.Clone(raw)
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return release, &apiError{http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", "the request body is too large", nil}
	case err != nil:
		c.aborted = true
		return release, nil
	}
	c.raw = raw

	if c.http.Method != http.MethodPost {
		return release, &apiError{http.StatusMethodNotAllowed, "UnknownOperationException", "only POST is understood", nil}
	}
	if len(c.http.TransferEncoding) > 0 {
		return release, &apiError{http.StatusLengthRequired, "MissingContentLength", "Content-Length is required", nil}
	}
	contentType := c.http.Header.Get("Content-Type")
	c.cbor = contentType == typeCBOR && c.rec.Service == kinesisService.name && !s.cfg.JSONOnly
	if c.http.Header.Get("X-Amz-Target") != "" && contentType != typeJSON && !c.cbor {
		return release, &apiError{http.StatusNotFound, "UnknownOperationException", "Content-Type must be " + typeJSON, nil}
	}
	switch encoding := c.http.Header.Get("Content-Encoding"); {
	case encoding == "" && c.cbor && !s.cfg.Discard:
		if c.body, err = JSONOf(raw); err != nil {
			return release, refuse("SerializationException", "%v", err)
		}
		return release, nil
	case encoding == "":
		c.body = raw
		return release, nil
	case encoding == "gzip" && c.rec.Operation == "PutLogEvents":
		body, err := gunzip(raw, maxBodyBytes)
		if err != nil {
			return release, refuse("SerializationException", "cannot decompress the body: %v", err)
		}
		c.body = body
		return release, nil
	default:
		return release, refuse("SerializationException", "Content-Encoding %s is not understood", encoding)
	}
}

// gunzip decompresses a body that may have limit bytes when decompressed.
func gunzip(raw []byte, limit int64) ([]byte, error) {
	zr, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(zr, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return body, err
}

// process lets the operation decide the answer.
func (s *Server) process(c *call) answer {
	c.processed = true
	var out any
	var bad *apiError
	if s.cfg.Discard && c.op.discard != nil {
		out = c.op.discard(s, c)
	} else {
		out, bad = c.op.handle(s, c)
	}
	if bad != nil {
		return s.refusal(c, bad)
	}
	contentType := typeJSON
	switch c.op.service.protocol {
	case awsQuery:
		return answer{status: http.StatusOK, header: http.Header{"Content-Type": {"text/xml"}}, body: queryXML(c, out)}
	case plain:
		if text, ok := out.(string); ok {
			h := http.Header{"Content-Type": {"text/plain"}}
			maps.Copy(h, c.answerHeader)
			return answer{status: http.StatusOK, header: h, body: []byte(text)}
		}
		contentType = "application/json"
	}
	body, ok := out.([]byte)
	if !ok {
		var err error
		if body, err = json.Marshal(out); err != nil {
			return s.refusal(c, &apiError{http.StatusInternalServerError, "InternalFailure", err.Error(), nil})
		}
	}
	return c.word(answer{status: http.StatusOK, header: http.Header{"Content-Type": {contentType}}, body: body})
}

// word has an answer in the format of its request.
func (c *call) word(a answer) answer {
	if c.cbor {
		a.header.Set("Content-Type", typeCBOR)
		if len(a.body) > 0 && a.body[0] == '{' { // else it is CBOR already
			a.body = CBOROf(a.body)
		}
	}
	return a
}

// refusal words an error in the call's protocol.
func (s *Server) refusal(c *call, e *apiError) answer {
	a := answer{status: e.status, header: http.Header{}, code: e.code}
	a.header.Set("Content-Type", typeJSON)
	members := map[string]any{"__type": e.code, "message": e.message}
	switch c.rec.Service {
	case stsService.name:
		a.header.Set("Content-Type", "text/xml")
		a.body = queryErrorXML(c, e)
		return a
	case endpointService.name:
		a.header.Set("Content-Type", "application/json")
		members = map[string]any{"code": e.code, "message": e.message}
	}
	for k, v := range e.extra {
		members[k] = v
	}
	a.body, _ = json.Marshal(members) // strings and integers only
	return c.word(a)
}

// send answers. A call whose answer evidently did not get through is counted as lost.
func (s *Server) send(w http.ResponseWriter, c *call, a answer) {
	if c.http.Context().Err() != nil {
		s.lost(c)
		return
	}
	s.writeHead(w, c, a)
	_, err := w.Write(a.body)
	if err == nil {
		err = http.NewResponseController(w).Flush()
	}
	if err != nil {
		s.lost(c)
	}
}

func (s *Server) writeHead(w http.ResponseWriter, c *call, a answer) {
	c.rec.Status, c.rec.ErrorCode = a.status, a.code
	h := w.Header()
	for k, v := range a.header {
		h[k] = v
	}
	h.Set("X-Amzn-Requestid", c.rec.ID)
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	s.note(c)
	w.WriteHeader(a.status)
}

// namesIn digs the names of a call's group and stream out of its body, for
// faults that are aimed at one of them. Malformed bodies have no names.
func namesIn(body []byte) []string {
	var in struct {
		LogGroupName       string `json:"logGroupName"`
		LogStreamName      string `json:"logStreamName"`
		StreamName         string
		StreamARN          string
		DeliveryStreamName string
	}
	if json.Unmarshal(body, &in) != nil {
		return nil
	}
	if in.StreamName == "" && in.StreamARN != "" {
		in.StreamName = in.StreamARN[strings.LastIndexByte(in.StreamARN, '/')+1:]
	}
	var names []string
	for _, n := range []string{in.LogGroupName, in.LogStreamName, in.StreamName, in.DeliveryStreamName} {
		if n != "" {
			names = append(names, n)
		}
	}
	return names
}

// input decodes the call's body; the error is worded as AWS does.
func (c *call) input(v any) *apiError {
	if err := decode(c.body, v); err != nil {
		return refuse("SerializationException", "%v", err)
	}
	return nil
}
