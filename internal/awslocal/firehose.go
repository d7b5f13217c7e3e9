package awslocal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Limits of Data Firehose, from
// https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
const (
	maxBatchRecords       = 500
	maxBatchDataBytes     = 4 << 20          // data of all records, decoded
	maxFirehoseRecord     = 1000 << 10       // data of one record, decoded
	maxDeliveryStreamName = 64               // characters
	objectBytes           = 5 << 20          // Firehose's default buffer size: a new S3 object after so much
	objectHour            = "2006/01/02/15/" // Firehose's default prefix in S3
)

var deliveryStreamPattern = regexp.MustCompile(`^[a-zA-Z0-9_.-]+$`)

var firehoseService = &service{
	name:   "firehose",
	target: "Firehose_20150804",
	operations: map[string]*operation{
		"CreateDeliveryStream":   {handle: (*Server).createDeliveryStream},
		"DeleteDeliveryStream":   {handle: (*Server).deleteDeliveryStream},
		"DescribeDeliveryStream": {handle: (*Server).describeDeliveryStream},
		"ListDeliveryStreams":    {handle: (*Server).listDeliveryStreams},
		"PutRecordBatch":         {handle: (*Server).putRecordBatch, discard: (*Server).discardRecordBatch},
	},
}

// Firehose is the Data Firehose side of a Server.
type Firehose struct {
	s       *Server
	mu      sync.Mutex // guards the following, and all streams
	streams map[string]*DeliveryStream
	total   int
	serial  int // of record ids and objects
}

// DeliveryStream is a delivery stream with all it was given. A nil
// DeliveryStream, as returned for one that does not exist, is empty.
type DeliveryStream struct {
	Name    string
	ARN     string
	Created time.Time

	firehose *Firehose
	count    int
	bytes    int
	records  [][]byte // all of them in memory, or the first few when there are files
	objects  []string // paths of the files
	object   *os.File // the last of them
	hour     string   // of object
	written  int      // bytes in object
}

// keptBesideFiles is how many records are kept in memory for /awslocal/state when
// the rest is in files.
const keptBesideFiles = 10

func newFirehose(s *Server) *Firehose {
	return &Firehose{s: s, streams: make(map[string]*DeliveryStream)}
}

// CreateStream makes a delivery stream. It fails if the name is not allowed or
// if the stream exists.
func (f *Firehose) CreateStream(name string) error {
	if bad := f.create(name); bad != nil {
		return fmt.Errorf("cannot create delivery stream %q: %s", name, bad.message)
	}
	return nil
}

// DeleteStream deletes a delivery stream. Files that it wrote stay.
func (f *Firehose) DeleteStream(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.streams[name].closeObject()
	delete(f.streams, name)
}

// Stream returns a delivery stream, nil if there is none of that name.
func (f *Firehose) Stream(name string) *DeliveryStream {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.streams[name]
}

// Streams returns all delivery streams, in order of name.
func (f *Firehose) Streams() []*DeliveryStream {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*DeliveryStream
	for _, name := range slices.Sorted(maps.Keys(f.streams)) {
		out = append(out, f.streams[name])
	}
	return out
}

// Total counts the records accepted so far, those of deleted streams included.
func (f *Firehose) Total() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.total
}

// Records returns the stream's records in the order in which they came. With
// Config.FirehoseDir it is only the first ten; see Data for all.
func (st *DeliveryStream) Records() [][]byte {
	if st == nil {
		return nil
	}
	st.firehose.mu.Lock()
	defer st.firehose.mu.Unlock()
	return slices.Clone(st.records)
}

// Len counts the stream's records.
func (st *DeliveryStream) Len() int {
	if st == nil {
		return 0
	}
	st.firehose.mu.Lock()
	defer st.firehose.mu.Unlock()
	return st.count
}

// Objects returns the paths of the files that the stream wrote, in order. It is
// empty without Config.FirehoseDir.
func (st *DeliveryStream) Objects() []string {
	if st == nil {
		return nil
	}
	st.firehose.mu.Lock()
	defer st.firehose.mu.Unlock()
	return slices.Clone(st.objects)
}

// Data returns all records one after the other with nothing in between, as they
// would be found in S3. It fails if a file cannot be read.
func (st *DeliveryStream) Data() ([]byte, error) {
	if st == nil {
		return nil, nil
	}
	st.firehose.mu.Lock()
	defer st.firehose.mu.Unlock()
	if st.firehose.s.cfg.FirehoseDir == "" {
		return bytes.Join(st.records, nil), nil
	}
	var all []byte
	for _, path := range st.objects {
		part, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("cannot read what was delivered: %w", err)
		}
		all = append(all, part...)
	}
	return all, nil
}

func (f *Firehose) create(name string) *apiError {
	if _, bad := checkDeliveryStreamName(&name); bad != nil {
		return bad
	}
	if name == "." || name == ".." {
		return refuse("InvalidArgumentException", "%q cannot be the name of a directory", name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.streams[name] != nil {
		return refuse("ResourceInUseException", "Firehose %s under accountId %s already exists", name, f.s.cfg.Account)
	}
	f.streams[name] = &DeliveryStream{Name: name, ARN: f.s.arn("firehose", "deliverystream/"+name), Created: f.s.cfg.Now(), firehose: f}
	return nil
}

// PUTRECORDBATCH

type putRecordBatchOut struct {
	FailedPutCount   int
	Encrypted        bool
	RequestResponses []putRecordBatchEntry
}

type putRecordBatchEntry struct {
	RecordID     string `json:"RecordId,omitempty"`
	ErrorCode    string `json:",omitempty"`
	ErrorMessage string `json:",omitempty"`
}

func (s *Server) putRecordBatch(c *call) (any, *apiError) {
	var in struct {
		DeliveryStreamName *string
		Records            []struct{ Data *string }
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	name, bad := checkDeliveryStreamName(in.DeliveryStreamName)
	if bad != nil {
		return nil, bad
	}
	c.rec.Target, c.rec.Records = name, len(in.Records)
	switch {
	case len(in.Records) == 0:
		return nil, invalid("ValidationException", "records", "have length greater than or equal to 1")
	case len(in.Records) > maxBatchRecords:
		return nil, invalid("ValidationException", "records", "have length less than or equal to 500")
	}
	records, total := make([][]byte, len(in.Records)), 0
	for i, r := range in.Records {
		at := "records." + strconv.Itoa(i+1) + ".member.data"
		if r.Data == nil {
			return nil, invalid("ValidationException", at, "not be null")
		}
		var err error
		if records[i], err = blob(*r.Data); err != nil {
			return nil, refuse("SerializationException", "%s: %v", at, err)
		}
		if len(records[i]) > maxFirehoseRecord {
			return nil, invalid("ValidationException", at, "have length less than or equal to 1024000")
		}
		total += len(records[i])
	}
	if total > maxBatchDataBytes {
		return nil, refuse("InvalidArgumentException", "Records size exceeds 4 MB limit")
	}

	f := s.firehose
	f.mu.Lock()
	defer f.mu.Unlock()
	st, bad := f.find(name)
	if bad != nil {
		return nil, bad
	}
	refused := s.faults.refused(c.fault, len(records), nil)
	out := putRecordBatchOut{}
	for i, r := range records[:c.fault.answered(len(records))] {
		if refused[i] {
			out.FailedPutCount++
			entry := putRecordBatchEntry{ErrorCode: s.faults.entryCode(c.fault, "ServiceUnavailableException", "InternalFailure")}
			entry.ErrorMessage = "Internal service failure."
			if entry.ErrorCode == "ServiceUnavailableException" {
				entry.ErrorMessage = "Slow down."
			}
			out.RequestResponses = append(out.RequestResponses, entry)
			continue
		}
		if err := st.deliver(r); err != nil {
			return nil, &apiError{status: http.StatusInternalServerError, code: "InternalFailure", message: err.Error()}
		}
		f.serial++
		f.total++
		c.rec.Accepted++
		out.RequestResponses = append(out.RequestResponses, putRecordBatchEntry{RecordID: fmt.Sprintf("%0220d", f.serial)})
	}
	return out, nil
}

// deliver keeps a record, in memory or at the end of the current object.
// firehose.mu is held.
func (st *DeliveryStream) deliver(r []byte) error {
	dir := st.firehose.s.cfg.FirehoseDir
	if dir != "" {
		if err := st.write(dir, r); err != nil {
			return err
		}
	}
	if dir == "" || len(st.records) < keptBesideFiles {
		st.records = append(st.records, r)
	}
	st.count++
	st.bytes += len(r)
	return nil
}

func (st *DeliveryStream) write(dir string, r []byte) error {
	now := st.firehose.s.cfg.Now().UTC()
	if hour := now.Format(objectHour); st.object == nil || st.hour != hour || st.written+len(r) > objectBytes {
		if err := st.newObject(dir, hour, now); err != nil {
			return err
		}
	}
	n, err := st.object.Write(r)
	st.written += n
	if err != nil {
		return fmt.Errorf("cannot write to %s: %w", st.object.Name(), err)
	}
	return nil
}

// newObject begins a file named as Firehose names its objects in S3.
func (st *DeliveryStream) newObject(dir, hour string, now time.Time) error {
	st.closeObject()
	prefix := filepath.Join(dir, st.Name, filepath.FromSlash(hour))
	if err := os.MkdirAll(prefix, 0o755); err != nil {
		return fmt.Errorf("cannot make a directory for %s: %w", st.Name, err)
	}
	path := filepath.Join(prefix, fmt.Sprintf("%s-1-%s-%s", st.Name, now.Format("2006-01-02-15-04-05"), newRequestID()))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("cannot make an object for %s: %w", st.Name, err)
	}
	st.object, st.hour, st.written = file, hour, 0
	st.objects = append(st.objects, path)
	return nil
}

func (st *DeliveryStream) closeObject() {
	if st != nil && st.object != nil {
		_ = st.object.Close() // every record was written straight through
		st.object = nil
	}
}

func (f *Firehose) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, st := range f.streams {
		st.closeObject()
	}
}

// discardRecordBatch counts records as discardRecords does.
func (s *Server) discardRecordBatch(c *call) any {
	n := bytes.Count(c.body, []byte(`"Data":`))
	c.rec.Records, c.rec.Accepted = n, n
	f := s.firehose
	f.mu.Lock()
	f.total += n
	f.mu.Unlock()
	return repeatEntries(`{"FailedPutCount":0,"Encrypted":false,"RequestResponses":[`, `{"RecordId":"discarded"}`, ",", "]}", n)
}

// DELIVERY STREAMS

func checkDeliveryStreamName(name *string) (string, *apiError) {
	return checkName("deliveryStreamName", name, maxDeliveryStreamName, deliveryStreamPattern, "ValidationException")
}

func (f *Firehose) find(name string) (*DeliveryStream, *apiError) {
	if st := f.streams[name]; st != nil {
		return st, nil
	}
	return nil, refuse("ResourceNotFoundException", "Firehose %s under account %s not found.", name, f.s.cfg.Account)
}

func (s *Server) createDeliveryStream(c *call) (any, *apiError) {
	// The destinations are not looked into: whatever is said, records go into
	// memory or files.
	var in struct {
		DeliveryStreamName                                 *string
		DeliveryStreamType                                 *string
		AmazonOpenSearchServerlessDestinationConfiguration json.RawMessage
		AmazonopensearchserviceDestinationConfiguration    json.RawMessage
		DatabaseSourceConfiguration                        json.RawMessage
		DeliveryStreamEncryptionConfigurationInput         json.RawMessage
		DirectPutSourceConfiguration                       json.RawMessage
		ElasticsearchDestinationConfiguration              json.RawMessage
		ExtendedS3DestinationConfiguration                 json.RawMessage
		HTTPEndpointDestinationConfiguration               json.RawMessage `json:"HttpEndpointDestinationConfiguration"`
		IcebergDestinationConfiguration                    json.RawMessage
		KinesisStreamSourceConfiguration                   json.RawMessage
		MSKSourceConfiguration                             json.RawMessage
		RedshiftDestinationConfiguration                   json.RawMessage
		S3DestinationConfiguration                         json.RawMessage
		SnowflakeDestinationConfiguration                  json.RawMessage
		SplunkDestinationConfiguration                     json.RawMessage
		Tags                                               json.RawMessage
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	name, bad := checkDeliveryStreamName(in.DeliveryStreamName)
	if bad != nil {
		return nil, bad
	}
	c.rec.Target = name
	if bad := s.firehose.create(name); bad != nil {
		return nil, bad
	}
	return map[string]any{"DeliveryStreamARN": s.arn("firehose", "deliverystream/"+name)}, nil
}

func (s *Server) deleteDeliveryStream(c *call) (any, *apiError) {
	var in struct {
		DeliveryStreamName *string
		AllowForceDelete   *bool
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	name, bad := checkDeliveryStreamName(in.DeliveryStreamName)
	if bad != nil {
		return nil, bad
	}
	c.rec.Target = name
	f := s.firehose
	f.mu.Lock()
	defer f.mu.Unlock()
	st, bad := f.find(name)
	if bad != nil {
		return nil, bad
	}
	st.closeObject()
	delete(f.streams, name)
	return nothing{}, nil
}

func (s *Server) describeDeliveryStream(c *call) (any, *apiError) {
	var in struct {
		DeliveryStreamName          *string
		ExclusiveStartDestinationID *string `json:"ExclusiveStartDestinationId"`
		Limit                       *int
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	name, bad := checkDeliveryStreamName(in.DeliveryStreamName)
	if bad != nil {
		return nil, bad
	}
	c.rec.Target = name
	f := s.firehose
	f.mu.Lock()
	defer f.mu.Unlock()
	st, bad := f.find(name)
	if bad != nil {
		return nil, bad
	}
	return map[string]any{"DeliveryStreamDescription": map[string]any{
		"DeliveryStreamName":   st.Name,
		"DeliveryStreamARN":    st.ARN,
		"DeliveryStreamStatus": "ACTIVE",
		"DeliveryStreamType":   "DirectPut",
		"VersionId":            "1",
		"CreateTimestamp":      seconds(st.Created),
		"Destinations":         []any{map[string]any{"DestinationId": "destinationId-000000000001"}},
		"HasMoreDestinations":  false,
	}}, nil
}

func (s *Server) listDeliveryStreams(c *call) (any, *apiError) {
	var in struct {
		DeliveryStreamType               *string
		ExclusiveStartDeliveryStreamName *string
		Limit                            *int
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	limit := 10
	if in.Limit != nil {
		if limit = *in.Limit; limit < 1 || limit > 10_000 {
			return nil, invalid("ValidationException", "limit", "have value between 1 and 10000")
		}
	}
	f := s.firehose
	f.mu.Lock()
	defer f.mu.Unlock()
	names := []string{}
	for _, name := range slices.Sorted(maps.Keys(f.streams)) {
		if in.ExclusiveStartDeliveryStreamName == nil || name > *in.ExclusiveStartDeliveryStreamName {
			names = append(names, name)
		}
	}
	more := len(names) > limit
	return map[string]any{"DeliveryStreamNames": names[:min(limit, len(names))], "HasMoreDeliveryStreams": more}, nil
}
