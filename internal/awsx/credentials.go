package awsx

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
)

const (
	// Credentials are renewed in the background this long before their end, and
	// up to half as long again: not all instances of a fleet at once.
	renewAhead = 5 * time.Minute

	// Calls made with credentials that end within this time may arrive too late.
	endMargin = 10 * time.Second

	renewPause      = 30 * time.Second // between failed renewals while the old ones still serve
	invalidatePause = time.Minute      // between renewals because a service refused the credentials
	sessionDefault  = "aws-for-fluent-bit"
)

// CredentialsError says that a call was not made, as there are no credentials
// for it. Its cause names the providers that were asked.
type CredentialsError struct{ Err error }

func (e *CredentialsError) Error() string { return "cannot get AWS credentials: " + e.Err.Error() }
func (e *CredentialsError) Unwrap() error { return e.Err }

// credentials is an aws.CredentialsProvider that keeps credentials and renews
// them ahead of their end, in the background: a call waits only when there are
// none that serve. The SDK's own cache makes the first call of each renewal
// wait, and fails it when the renewal fails though the old ones still serve.
type credentials struct {
	// build makes the chain of providers, without asking any.
	build   func(context.Context) (aws.CredentialsProvider, error)
	timeout time.Duration // of one renewal
	now     func() time.Time

	life context.Context
	end  context.CancelFunc
	wait sync.WaitGroup // for the renewal under way

	mu          sync.Mutex
	chain       aws.CredentialsProvider // nil: to be built
	current     aws.Credentials
	renewAt     time.Time // zero: never
	renewal     *renewal  // under way, or nil
	invalidated time.Time
	closed      bool
}

// renewal is one asking of the chain; all calls that need it wait for the same.
type renewal struct {
	done  chan struct{}
	creds aws.Credentials
	err   error
}

func newCredentials(build func(context.Context) (aws.CredentialsProvider, error), timeout time.Duration) *credentials {
	c := &credentials{build: build, timeout: timeout, now: time.Now}
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

// Retrieve returns credentials that serve, and waits for them if there are none.
func (c *credentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c.mu.Lock()
	now := c.now()
	if c.serves(now) {
		if !c.renewAt.IsZero() && now.After(c.renewAt) {
			c.startRenewal()
		}
		creds := c.current
		c.mu.Unlock()
		return creds, nil
	}
	r := c.startRenewal()
	c.mu.Unlock()

	if r == nil {
		return aws.Credentials{}, &CredentialsError{Err: fmt.Errorf("the output has ended")}
	}
	select {
	case <-r.done:
		return r.creds, r.err
	case <-ctx.Done():
		return aws.Credentials{}, &CredentialsError{Err: ctx.Err()}
	}
}

// serves says whether the credentials at hand are good for a call.
func (c *credentials) serves(now time.Time) bool {
	return c.current.HasKeys() && (!c.current.CanExpire || now.Add(endMargin).Before(c.current.Expires))
}

// invalidate has the next call wait for new credentials, since a service has
// refused those of a call that was begun at the given time. It reports whether
// another call will have newer ones: either it has thrown the present ones away,
// or someone else did so after that call had begun. It throws away at most once
// a minute, or a lasting refusal would turn into a storm at STS. The chain is
// built anew, so that changed files are read again.
func (c *credentials) invalidate(begun time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.invalidated.After(begun) {
		return true
	}
	if !c.invalidated.IsZero() && now.Sub(c.invalidated) < invalidatePause {
		return false
	}
	c.invalidated = now
	c.current = aws.Credentials{}
	c.chain = nil
	return true
}

// startRenewal returns the renewal under way, after starting one if there is
// none; nil after close. c.mu is held.
func (c *credentials) startRenewal() *renewal {
	if c.renewal != nil {
		return c.renewal
	}
	if c.closed {
		return nil
	}
	r := &renewal{done: make(chan struct{})}
	c.renewal = r
	c.wait.Add(1)
	go c.renew(r)
	return r
}

func (c *credentials) renew(r *renewal) {
	defer c.wait.Done()
	defer close(r.done)
	ctx, cancel := context.WithTimeout(c.life, c.timeout)
	defer cancel()

	c.mu.Lock()
	chain := c.chain
	c.mu.Unlock()
	var err error
	built := chain
	if built == nil {
		built, err = c.build(ctx)
	}
	if err == nil {
		if cache, ok := built.(*aws.CredentialsCache); ok {
			cache.Invalidate() // else it gives the same ones until their very end
		}
		r.creds, err = built.Retrieve(ctx)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	c.renewal = nil
	now := c.now()
	if err != nil {
		c.renewAt = now.Add(renewPause)
		if !c.outlive(now) {
			r.err = &CredentialsError{Err: withoutOutput(err)}
		}
		r.creds = c.current
		return
	}
	if c.chain == chain {
		c.chain = built
	}
	c.current = r.creds
	c.renewAt = renewalTime(r.creds, now)
}

// withoutOutput keeps out of an error what a credential_process wrote: when it
// cannot be read, that may still be keys.
func withoutOutput(err error) error {
	var process *processcreds.ProviderError
	var syntax *json.SyntaxError
	if errors.As(err, &process) && strings.Contains(process.Error(), "process output: ") {
		text := "the output of credential_process is not the JSON that is expected"
		if errors.As(err, &syntax) {
			text += fmt.Sprintf(", from byte %d on", syntax.Offset)
		}
		return errors.New(text)
	}
	return err
}

// outlive keeps EC2 credentials past their end while the metadata service gives
// no others, as the SDKs do: AWS may extend them on its side ("static stability").
func (c *credentials) outlive(now time.Time) bool {
	if c.current.Source != ec2rolecreds.ProviderName || c.closed {
		return false
	}
	if !c.serves(now) {
		c.current.Expires = now.Add(renewAhead)
	}
	return true
}

// renewalTime is some minutes before the end, but never in the first half of
// what is left: credentials that live for a minute would be renewed all the time.
func renewalTime(creds aws.Credentials, now time.Time) time.Time {
	if !creds.CanExpire {
		return time.Time{}
	}
	ahead := renewAhead + time.Duration(rand.Int64N(int64(renewAhead/2)))
	return creds.Expires.Add(-min(ahead, creds.Expires.Sub(now)/2))
}

// close ends the renewal under way and waits for it.
func (c *credentials) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end()
	c.wait.Wait()
}

// loadConfig reads the environment and the shared files into an aws.Config whose
// credentials are the SDK's default chain: environment, web identity, shared
// files with sso and process, ECS and EKS agents, EC2 metadata. It asks none of
// them; but it may look up the name of a credentials agent, which has no
// deadline of its own, so it gets one here.
func loadConfig(ctx context.Context, o Options) (aws.Config, error) {
	var bundle []byte
	if o.CABundle != "" {
		var err error
		if bundle, err = readCABundle(o.CABundle); err != nil {
			return aws.Config{}, fmt.Errorf("option ca_bundle: cannot use %q: %w", o.CABundle, err)
		}
	}
	atSTS := o.stsOptions()
	load := []func(*config.LoadOptions) error{
		config.WithRegion(o.Region),
		config.WithLogger(logging.Nop{}), // else some providers write to stderr
		// AWS_DEFAULTS_MODE=auto would ask EC2's metadata service here and now,
		// for timeouts that are set below anyway.
		config.WithDefaultsMode(aws.DefaultsModeStandard),
		// The SDK's own type: with AWS_CA_BUNDLE set it refuses all others.
		config.WithHTTPClient(credentialsClient(o)),
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(r *retry.StandardOptions) { r.MaxBackoff = time.Second })
		}),
		config.WithEndpointCredentialOptions(func(e *endpointcreds.Options) { e.HTTPClient = discreet{credentialsClient(o)} }),
		config.WithAssumeRoleCredentialOptions(func(a *stscreds.AssumeRoleOptions) {
			if c, ok := a.Client.(*sts.Client); ok {
				a.Client = stsClient{c, atSTS}
			}
		}),
		config.WithWebIdentityRoleCredentialOptions(func(w *stscreds.WebIdentityRoleOptions) {
			if c, ok := w.Client.(*sts.Client); ok {
				w.Client = stsClient{c, atSTS}
			}
		}),
	}
	profile := o.Profile
	if o.CredentialsFile != "" {
		load = append(load, config.WithSharedCredentialsFiles([]string{o.CredentialsFile}))
		// Without a profile that is asked for, the environment would come before the file.
		profile = cmp.Or(profile, config.DefaultSharedConfigProfile)
	}
	if profile != "" {
		load = append(load, config.WithSharedConfigProfile(profile))
	}
	if bundle != nil {
		load = append(load, config.WithCustomCABundle(bytes.NewReader(bundle)))
	}
	if o.UseFIPS {
		load = append(load, config.WithUseFIPSEndpoint(aws.FIPSEndpointStateEnabled))
	}
	if o.UseDualStack {
		load = append(load, config.WithUseDualStackEndpoint(aws.DualStackEndpointStateEnabled))
	}

	type loaded struct {
		cfg aws.Config
		err error
	}
	done := make(chan loaded, 1)
	go func() {
		cfg, err := config.LoadDefaultConfig(ctx, load...)
		done <- loaded{cfg, err}
	}()
	select {
	case l := <-done:
		return l.cfg, l.err
	case <-ctx.Done():
		return aws.Config{}, ctx.Err()
	}
}

// credentialsClient is for the providers of credentials. They are asked once an
// hour or so: no connection is kept.
func credentialsClient(o Options) *awshttp.BuildableClient {
	timeout := o.timeout()
	return awshttp.NewBuildableClient().
		WithTimeout(timeout).
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = min(dialTimeout, timeout) }).
		WithTransportOptions(func(t *http.Transport) {
			t.Proxy = proxyFunc(o, true)
			t.TLSHandshakeTimeout = min(tlsHandshakeTimeout, timeout)
			t.ResponseHeaderTimeout = timeout
			t.TLSClientConfig.MinVersion = tlsVersion(o.TLSMinVersion)
			t.DisableKeepAlives = true
		})
}

// discreet keeps out of errors the path and query by which a credentials agent
// knows who is asking: whoever reads them in a log could ask as well.
type discreet struct{ endpointcreds.HTTPClient }

func (d discreet) Do(req *http.Request) (*http.Response, error) {
	resp, err := d.HTTPClient.Do(req)
	var failed *url.Error
	if errors.As(err, &failed) {
		failed.URL = req.URL.Scheme + "://" + req.URL.Host
	}
	return resp, err
}

// stsOptions puts the custom endpoint in force, for every use of STS.
func (o Options) stsOptions() func(*sts.Options) {
	return func(s *sts.Options) {
		if o.STSEndpoint == "" {
			return
		}
		s.BaseEndpoint = aws.String(o.STSEndpoint)
		// The endpoint rules refuse a custom endpoint together with these.
		s.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateDisabled
		s.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateDisabled
	}
}

// stsClient is an STS client as the options want it, for the roles that a
// profile or a web identity names.
type stsClient struct {
	*sts.Client
	with func(*sts.Options)
}

func (c stsClient) AssumeRole(ctx context.Context, in *sts.AssumeRoleInput, opts ...func(*sts.Options)) (*sts.AssumeRoleOutput, error) {
	return c.Client.AssumeRole(ctx, in, append(opts, c.with)...)
}

func (c stsClient) AssumeRoleWithWebIdentity(ctx context.Context, in *sts.AssumeRoleWithWebIdentityInput, opts ...func(*sts.Options)) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	return c.Client.AssumeRoleWithWebIdentity(ctx, in, append(opts, c.with)...)
}

// chainOf puts the options' own steps on top of the default chain in cfg: the
// credentials endpoint instead of it, then the EKS role, then role_arn.
func chainOf(cfg aws.Config, o Options) aws.CredentialsProvider {
	source := cfg.Credentials
	if o.CredentialsEndpoint != "" {
		source = endpointcreds.New(o.CredentialsEndpoint, func(e *endpointcreds.Options) {
			e.HTTPClient = discreet{cfg.HTTPClient}
			e.Retryer = cfg.Retryer()
		})
	}
	if o.EKSRoleARN != "" {
		source = assume(cfg, o, source, o.EKSRoleARN, "")
	}
	if o.RoleARN != "" {
		source = assume(cfg, o, source, o.RoleARN, o.ExternalID)
	}
	return source
}

func assume(cfg aws.Config, o Options, source aws.CredentialsProvider, role, external string) aws.CredentialsProvider {
	if _, ok := source.(*aws.CredentialsCache); !ok {
		source = aws.NewCredentialsCache(source, func(c *aws.CredentialsCacheOptions) { c.ExpiryWindow = time.Minute })
	}
	client := sts.NewFromConfig(cfg, o.stsOptions(), func(s *sts.Options) { s.Credentials = source })
	return stscreds.NewAssumeRoleProvider(client, role, func(a *stscreds.AssumeRoleOptions) {
		a.RoleSessionName = sessionDefault
		if o.RoleSessionName != "" {
			a.RoleSessionName = o.RoleSessionName
		}
		a.Duration = o.RoleDuration
		if a.Duration == 0 {
			a.Duration = time.Hour
		}
		if external != "" {
			a.ExternalID = aws.String(external)
		}
	})
}
