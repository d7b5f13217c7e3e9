package awsx

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go/middleware"
)

// Version goes into the User-Agent. The library's main package sets it.
var Version = "dev"

const userAgent = "aws-fluent-bit-plugin" // as AWS's own plugins call themselves

// Session is one output's way to AWS. It is safe for use by several goroutines.
type Session struct {
	opts   Options
	config aws.Config
	shared *shared
	once   sync.Once
}

// shared is what all outputs with the same settings use together.
type shared struct {
	users     int // guarded by sharing.mu
	config    aws.Config
	pool      *pool
	transport *http.Transport
	creds     *credentials
	end       context.CancelFunc // of dialing
}

var sharing = struct {
	mu  sync.Mutex
	all map[Options]*shared
}{all: make(map[Options]*shared)}

// sharedPart leaves out of the options what is not about connections and
// credentials.
func (o Options) sharedPart() Options {
	o.Service = ""
	o.Endpoint = ""
	o.ExtraUserAgent = ""
	o.NoResend = false
	return o
}

// Load prepares the way to AWS. It makes no call: a service that is down, or
// credentials that are missing, show at the first one. The error is about files
// and variables that cannot be understood. Close the session at the end.
func Load(ctx context.Context, o Options) (*Session, error) {
	sharing.mu.Lock()
	defer sharing.mu.Unlock()
	key := o.sharedPart()
	sh := sharing.all[key]
	if sh == nil {
		var err error
		if sh, err = newShared(ctx, key); err != nil {
			return nil, fmt.Errorf("cannot load the AWS configuration: %w", err)
		}
		sharing.all[key] = sh
	}
	sh.users++

	s := &Session{opts: o, config: sh.config.Copy(), shared: sh}
	s.config.HTTPClient = &httpClient{pool: sh.pool, proxy: sh.transport.Proxy, transport: sh.transport, resend: !o.NoResend, limit: o.timeout()}
	s.config.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	s.config.RetryMaxAttempts = 0 // AWS_MAX_ATTEMPTS is for the SDK's retries
	agent := userAgent
	if o.ExtraUserAgent != "" {
		agent += "-" + o.ExtraUserAgent
	}
	s.config.APIOptions = append(s.config.APIOptions,
		awsmiddleware.AddUserAgentKeyValue(agent, Version),
		withDeadline(o.timeout()))
	return s, nil
}

func newShared(ctx context.Context, o Options) (*shared, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout())
	defer cancel()
	cfg, err := loadConfig(ctx, o)
	if err != nil {
		return nil, err
	}
	// The certificates of ca_bundle or AWS_CA_BUNDLE are in the SDK's client now.
	var roots *x509.CertPool
	if client, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		roots = client.GetTransport().TLSClientConfig.RootCAs
	}

	first := chainOf(cfg, o)
	build := func(ctx context.Context) (aws.CredentialsProvider, error) {
		if p := first; p != nil {
			first = nil
			return p, nil
		}
		again, err := loadConfig(ctx, o)
		if err != nil {
			return nil, err
		}
		return chainOf(again, o), nil
	}
	life, end := context.WithCancel(context.Background())
	pool, transport := newTransport(o, roots, life)
	sh := &shared{
		config:    cfg,
		pool:      pool,
		transport: transport,
		creds:     newCredentials(build, o.timeout()),
		end:       end,
	}
	sh.config.Credentials = sh.creds
	return sh, nil
}

// Close gives the session back. When the last one of its kind is closed,
// its connections are closed too, and the renewal of credentials ends.
// End all calls first.
func (s *Session) Close() {
	s.once.Do(func() {
		sharing.mu.Lock()
		s.shared.users--
		last := s.shared.users == 0
		if last {
			delete(sharing.all, s.opts.sharedPart())
		}
		sharing.mu.Unlock()
		if last {
			s.shared.end()
			s.shared.creds.close()
			s.shared.transport.CloseIdleConnections()
			s.shared.pool.close()
		}
	})
}

// Invalidate is for a call that failed with class ExpiredCredentials. With true,
// the next call will have newer credentials than one that began at the given
// time, and is worth making at once; with false the refusal lasts.
func (s *Session) Invalidate(begun time.Time) bool { return s.shared.creds.invalidate(begun) }

// Instance asks EC2's instance metadata service what it runs on. It takes as long
// as ctx lets it.
func (s *Session) Instance(ctx context.Context) (*imds.InstanceIdentityDocument, error) {
	out, err := imds.NewFromConfig(s.shared.config).GetInstanceIdentityDocument(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot get the metadata of the EC2 instance: %w", err)
	}
	return &out.InstanceIdentityDocument, nil
}

// means are what every call needs of a client's options. The SDK gives them away only
// with a copy of all options, which takes 4 KB of the stack of each flush that calls.
type means struct {
	http  aws.HTTPClient
	creds aws.CredentialsProvider
}

// LogsClient, KinesisClient and FirehoseClient are the SDK's clients, for PutLogEvents,
// PutRecords and PutRecordBatch, too.
type (
	LogsClient struct {
		*cloudwatchlogs.Client
		means
	}
	KinesisClient struct {
		*kinesis.Client
		means
	}
	FirehoseClient struct {
		*firehose.Client
		means
	}
)

// CloudWatchLogs returns a client for CloudWatch Logs.
func (s *Session) CloudWatchLogs(opts ...func(*cloudwatchlogs.Options)) *LogsClient {
	at := func(o *cloudwatchlogs.Options) {
		if s.opts.Endpoint != "" {
			o.BaseEndpoint = aws.String(s.opts.Endpoint)
			o.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateDisabled
			o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateDisabled
		}
	}
	c := cloudwatchlogs.NewFromConfig(s.config, append([]func(*cloudwatchlogs.Options){at}, opts...)...)
	o := c.Options()
	return &LogsClient{c, means{o.HTTPClient, o.Credentials}}
}

// Kinesis returns a client for Kinesis Data Streams.
func (s *Session) Kinesis(opts ...func(*kinesis.Options)) *KinesisClient {
	at := func(o *kinesis.Options) {
		if s.opts.Endpoint != "" {
			o.BaseEndpoint = aws.String(s.opts.Endpoint)
			o.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateDisabled
			o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateDisabled
		}
	}
	c := kinesis.NewFromConfig(s.config, append([]func(*kinesis.Options){at}, opts...)...)
	o := c.Options()
	return &KinesisClient{c, means{o.HTTPClient, o.Credentials}}
}

// Firehose returns a client for Data Firehose.
func (s *Session) Firehose(opts ...func(*firehose.Options)) *FirehoseClient {
	at := func(o *firehose.Options) {
		if s.opts.Endpoint != "" {
			o.BaseEndpoint = aws.String(s.opts.Endpoint)
			o.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateDisabled
			o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateDisabled
		}
	}
	c := firehose.NewFromConfig(s.config, append([]func(*firehose.Options){at}, opts...)...)
	o := c.Options()
	return &FirehoseClient{c, means{o.HTTPClient, o.Credentials}}
}

// deadline bounds a whole call: credentials, connection, request and answer.
type deadline struct{ after time.Duration }

func withDeadline(d time.Duration) func(*middleware.Stack) error {
	return func(s *middleware.Stack) error {
		return s.Initialize.Add(deadline{d}, middleware.Before)
	}
}

func (deadline) ID() string { return "Deadline" }

func (d deadline) HandleInitialize(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	ctx, cancel := context.WithTimeout(ctx, d.after)
	defer cancel()
	return next.HandleInitialize(ctx, in)
}

// awsDomains are those of the service endpoints in all partitions of AWS that are
// open to the public.
// https://docs.aws.amazon.com/general/latest/gr/rande.html
var awsDomains = []string{".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws", ".api.amazonwebservices.com.cn"}

// IsAWS says whether an endpoint's URL has a host of AWS's own, as VPC endpoints
// have, too, so that all that AWS documents of its services is true of it.
func IsAWS(endpoint string) bool {
	u, err := url.Parse(endpoint)
	return err == nil && slices.ContainsFunc(awsDomains, func(domain string) bool {
		return strings.HasSuffix(strings.ToLower(u.Hostname()), domain)
	})
}
