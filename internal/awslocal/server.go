// Package awslocal is a stand-in for the AWS services that the plugins talk to:
// CloudWatch Logs, Kinesis Data Streams, Data Firehose and STS, with the
// container credentials, ECS task metadata and EC2 instance metadata endpoints
// beside them. It listens on loopback only.
//
// It refuses what AWS refuses: limits, names, order, signatures and malformed
// JSON are checked by code that shares nothing with the plugins, so that a
// mistake there is not repeated here. Faults (throttling, partial failures,
// hangs, lost answers and more) are played on order, by script or by chance.
//
// Everything it received can be looked at: in process through Logs, Kinesis,
// Firehose, STS and Requests, from outside as JSON under /awslocal/.
//
// All methods are safe for concurrent use.
package awslocal

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Config says how a Server behaves. The zero value is a strict server on a free
// port of 127.0.0.1.
type Config struct {
	// Addr is where to listen. Empty means 127.0.0.1:0, a free port. An address
	// that is not a loopback address is refused.
	Addr string

	// TLS makes URL an https one, with a certificate of an authority made for
	// this server (CAPEM). PlainURL keeps serving http beside it.
	TLS bool

	// HTTP2 offers HTTP/2 over TLS. The three services speak HTTP/1.1 to their
	// clients, so it is off by default.
	HTTP2 bool

	// Region, if set, is the only region whose signatures are accepted. It is
	// also the region in ARNs; empty means us-east-1 there, and any region in
	// signatures.
	Region string

	// Account is the account number in ARNs. Empty means 123456789012.
	Account string

	// Keys are secrets by access key id. Empty means DefaultKeys. Requests
	// signed by one of them, or by credentials this server gave out, have
	// their signature verified.
	Keys map[string]string

	// RefuseUnknownKeys refuses access key ids that are neither in Keys nor
	// given out by this server. By default their signature is only parsed.
	RefuseUnknownKeys bool

	// Seed makes everything that happens by chance repeatable.
	Seed uint64

	// Now is the clock for log event ages, shard throughput and the expiry of
	// credentials. Empty means time.Now. Signatures are held against the real
	// clock, as clients sign by it.
	Now func() time.Time

	// Latency is waited before each API call is worked on.
	Latency time.Duration

	// IdleTimeout closes connections that have been idle for so long, as the
	// services do (CloudWatch Logs: about 6 s). Empty means never.
	IdleTimeout time.Duration

	// Discard counts the records of PutLogEvents, PutRecords and
	// PutRecordBatch without decoding, checking or keeping them, and does not
	// verify signatures: a sink that costs a benchmark as little as possible.
	// Faults that choose among records do not play.
	Discard bool

	// KeepRequests is how many of the latest requests Requests can return.
	// Empty means 10,000; negative means none. Counters count all of them.
	KeepRequests int

	// KeepBodies keeps the bodies of these requests too, as received.
	KeepBodies bool

	// JSONOnly has Kinesis refuse CBOR, as endpoints do that are not AWS's.
	JSONOnly bool

	// SequenceTokens makes PutLogEvents demand the right sequence token for
	// each stream, as it did until 2023.
	SequenceTokens bool

	// MaxEventBytes bounds a log event, its 26 bytes of overhead included.
	// Empty means 1,048,576; it was 262,144 until April 2025.
	MaxEventBytes int

	// KinesisStreams are streams to begin with: shards by name.
	KinesisStreams map[string]int

	// KinesisMaxRecordBytes bounds a record, partition key included, in streams
	// that do not set their own. Empty means 1,048,576.
	KinesisMaxRecordBytes int

	// ShardRecordsPerSecond and ShardBytesPerSecond throttle each shard as
	// Kinesis does (1,000 and 1,048,576 there). Empty means no limit.
	ShardRecordsPerSecond int
	ShardBytesPerSecond   int

	// DeliveryStreams are Firehose delivery streams to begin with.
	DeliveryStreams []string

	// FirehoseDir is where records delivered to Firehose are written, in files
	// laid out as the objects would be in S3. Empty keeps them in memory.
	FirehoseDir string

	// CredentialsTTL overrides how long credentials given out last. Empty means
	// what the caller asked for, or one hour.
	CredentialsTTL time.Duration

	// ContainerToken, if set, is the Authorization header that /credentials
	// demands.
	ContainerToken string

	// Task is what the ECS task metadata endpoint says. Empty fields get
	// defaults.
	Task Task
}

// DefaultKeys holds the key pair that AWS's documentation signs its examples with.
var DefaultKeys = map[string]string{"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}

// Server is a running stand-in. Start makes one.
type Server struct {
	// URL is the endpoint of all services; https if Config.TLS is set.
	URL string

	// PlainURL is the same over http.
	PlainURL string

	// ControlURL answers /awslocal/ and the metadata and credentials paths, and
	// keeps doing so while the server is Down.
	ControlURL string

	// CAPEM is the certificate authority that signed the certificate of URL,
	// empty without TLS.
	CAPEM []byte

	cfg    Config
	faults faults
	held   connections
	calls  callLog
	keys   keyring

	logs     *Logs
	kinesis  *Kinesis
	firehose *Firehose
	sts      *STS

	closing chan struct{} // closed by Close; lets go of hanging calls

	upMu    sync.Mutex // guards the following
	fronts  []*front
	control *front
	down    bool
	closed  bool
	timer   *time.Timer // brings the server up again after DownFor
}

// front is one listening address. It outlives the http.Server behind it, so
// that Up can listen again on the port that Down gave up.
type front struct {
	addr    string
	tls     *tls.Config
	handler http.Handler
	idle    time.Duration
	http2   bool
	server  *http.Server
	ended   chan struct{} // closed when server accepts no more
}

// Start starts a server. It fails if an address cannot be listened on or is not
// a loopback address.
func Start(cfg Config) (*Server, error) {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	host, err := loopbackHost(cfg.Addr)
	if err != nil {
		return nil, err
	}
	setDefaults(&cfg)

	s := &Server{cfg: cfg, closing: make(chan struct{})}
	s.faults.rng = rand.New(rand.NewPCG(cfg.Seed, 1))
	s.logs = newLogs(s)
	s.kinesis = newKinesis(s)
	s.firehose = newFirehose(s)
	s.sts = newSTS(s)
	s.keys.init(cfg.Keys)
	if err := s.initialStreams(); err != nil {
		return nil, err
	}

	api, control := http.HandlerFunc(s.serveAll), http.HandlerFunc(s.serveControl)
	freePort := net.JoinHostPort(host, "0")
	if cfg.TLS {
		ca, tlsConfig, err := makeTLS(cfg.HTTP2)
		if err != nil {
			return nil, err
		}
		s.CAPEM = ca
		s.fronts = append(s.fronts,
			&front{addr: cfg.Addr, tls: tlsConfig, handler: api, idle: cfg.IdleTimeout, http2: cfg.HTTP2},
			&front{addr: freePort, handler: api, idle: cfg.IdleTimeout})
	} else {
		s.fronts = append(s.fronts, &front{addr: cfg.Addr, handler: api, idle: cfg.IdleTimeout})
	}
	s.control = &front{addr: freePort, handler: control}

	for _, f := range append(s.fronts[:len(s.fronts):len(s.fronts)], s.control) {
		if err := f.listen(); err != nil {
			s.Close()
			return nil, err
		}
	}
	s.URL = s.fronts[0].url()
	s.PlainURL = s.fronts[len(s.fronts)-1].url()
	s.ControlURL = s.control.url()
	return s, nil
}

func setDefaults(cfg *Config) {
	if cfg.Account == "" {
		cfg.Account = "123456789012"
	}
	if cfg.Keys == nil {
		cfg.Keys = DefaultKeys
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.KeepRequests == 0 {
		cfg.KeepRequests = 10_000
	}
	if cfg.MaxEventBytes == 0 {
		cfg.MaxEventBytes = maxBatchBytes
	}
	if cfg.KinesisMaxRecordBytes == 0 {
		cfg.KinesisMaxRecordBytes = defaultRecordBytes
	}
	cfg.Task.setDefaults(cfg)
}

// initialStreams makes the streams that the configuration asks for.
func (s *Server) initialStreams() error {
	for name, shards := range s.cfg.KinesisStreams {
		if err := s.kinesis.CreateStream(name, shards); err != nil {
			return err
		}
	}
	for _, name := range s.cfg.DeliveryStreams {
		if err := s.firehose.CreateStream(name); err != nil {
			return err
		}
	}
	return nil
}

// loopbackHost returns the host of addr, or an error if that is not loopback.
// The name localhost is taken as 127.0.0.1, whatever the resolver says.
func loopbackHost(addr string) (string, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("cannot listen on %q: %w", addr, err)
	}
	if host == "localhost" {
		return "127.0.0.1", nil
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return "", fmt.Errorf("cannot listen on %q: not a loopback address", addr)
	}
	return host, nil
}

func (f *front) url() string {
	if f.tls != nil {
		return "https://" + f.addr
	}
	return "http://" + f.addr
}

// listen begins to serve on f.addr, and puts the chosen port in there.
func (f *front) listen() error {
	addr := strings.Replace(f.addr, "localhost:", "127.0.0.1:", 1)
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", addr, err)
	}
	f.addr = ln.Addr().String()
	f.server = &http.Server{
		Handler:           f.handler,
		IdleTimeout:       f.idle,
		ReadHeaderTimeout: time.Minute,
		TLSConfig:         f.tls,
		ErrorLog:          log.New(io.Discard, "", 0), // failed handshakes are the tests' business
	}
	if f.idle == 0 {
		f.server.IdleTimeout = -1 // otherwise net/http falls back on ReadHeaderTimeout
	}
	f.server.Protocols = new(http.Protocols)
	f.server.Protocols.SetHTTP1(true)
	f.server.Protocols.SetHTTP2(f.http2 && f.tls != nil)
	f.ended = make(chan struct{})
	go func(srv *http.Server, ended chan struct{}) {
		defer close(ended)
		if f.tls != nil {
			_ = srv.ServeTLS(ln, "", "") // ends with ErrServerClosed
			return
		}
		_ = srv.Serve(ln)
	}(f.server, f.ended)
	return nil
}

func (f *front) close() {
	if f.server == nil {
		return
	}
	_ = f.server.Close() // closes the listener and every connection; nothing to do about a failure
	// The port is only free once Accept has returned.
	<-f.ended
	f.server = nil
}

// Close stops the server, cuts all connections and lets go of hanging calls.
func (s *Server) Close() {
	s.upMu.Lock()
	defer s.upMu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	close(s.closing)
	if s.timer != nil {
		s.timer.Stop()
	}
	for _, f := range s.fronts {
		f.close()
	}
	s.control.close()
	s.held.closeAll()
	s.firehose.close()
}

// Down makes the endpoint unreachable: connections are cut and new ones refused
// until Up. ControlURL still answers.
func (s *Server) Down() {
	s.upMu.Lock()
	defer s.upMu.Unlock()
	s.goDown()
}

// DownFor is Down, and Up after d.
func (s *Server) DownFor(d time.Duration) {
	s.upMu.Lock()
	defer s.upMu.Unlock()
	s.goDown()
	if !s.closed {
		s.upAfter(d)
	}
}

// upAfter brings the server up after d, or soon after that if another process
// has the port just then. s.upMu is held.
func (s *Server) upAfter(d time.Duration) {
	s.timer = time.AfterFunc(d, func() {
		if s.Up() != nil {
			s.upMu.Lock()
			defer s.upMu.Unlock()
			if s.down && !s.closed {
				s.upAfter(50 * time.Millisecond)
			}
		}
	})
}

func (s *Server) goDown() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if s.down || s.closed {
		return
	}
	s.down = true
	for _, f := range s.fronts {
		f.close()
	}
	s.held.closeAll()
}

// Up ends Down: the same ports are listened on again. It fails if another
// process took one in the meantime.
func (s *Server) Up() error {
	s.upMu.Lock()
	defer s.upMu.Unlock()
	if !s.down || s.closed {
		return nil
	}
	for _, f := range s.fronts {
		if f.server != nil {
			continue // came up in an earlier attempt
		}
		if err := f.listen(); err != nil {
			return err
		}
	}
	s.down = false
	return nil
}

// Logs returns the CloudWatch Logs side, to set it up and to look at it.
func (s *Server) Logs() *Logs { return s.logs }

// Kinesis returns the Kinesis Data Streams side.
func (s *Server) Kinesis() *Kinesis { return s.kinesis }

// Firehose returns the Data Firehose side.
func (s *Server) Firehose() *Firehose { return s.firehose }

// STS returns the STS side, and the credentials given out.
func (s *Server) STS() *STS { return s.sts }

func (s *Server) region() string {
	if s.cfg.Region == "" {
		return "us-east-1"
	}
	return s.cfg.Region
}

func (s *Server) arn(service, resource string) string {
	return "arn:aws:" + service + ":" + s.region() + ":" + s.cfg.Account + ":" + resource
}

// sleep waits for d, and says false if the client or the server went first.
func (s *Server) sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	case <-s.closing:
		return false
	}
}
