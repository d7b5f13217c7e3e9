package recordstest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
)

// Delivery tests what happens when the service does not take everything.
func (s *Subject) Delivery(t *testing.T) {
	side(t, map[string]func(*testing.T){
		"refused entries":         s.refusedEntries,
		"odd answers":             s.oddAnswers,
		"failed calls":            s.failedCalls,
		"lost answers":            s.lostAnswers,
		"credentials":             s.credentials,
		"no use in trying again":  s.later,
		"one bad record":          s.badRecord,
		"all records bad":         s.allBad,
		"budget":                  s.budget,
		"pace":                    s.pace,
		"ledger":                  s.ledger,
		"workers":                 s.workers,
		"concurrency":             s.concurrency,
		"end of the chunk":        s.wasRead,
		"many faults, many times": s.manyFaults,
	})
}

// side runs tests side by side: most of their time they wait. t.Parallel would
// run no more of them than there are processors.
func side(t *testing.T, tests map[string]func(*testing.T)) {
	var wait sync.WaitGroup
	for name, test := range tests {
		wait.Go(func() { t.Run(name, test) })
	}
	wait.Wait()
}

// sentIn returns the data of each call's records.
func sentIn(t testing.TB, calls []*awslocal.Request) (all [][]string) {
	for _, c := range calls {
		var in Request
		if err := json.Unmarshal(BodyOf(t, c), &in); err != nil {
			t.Fatalf("cannot read a call: %v", err)
		}
		var data []string
		for _, r := range in.Records {
			data = append(data, strings.TrimSuffix(string(r.Data), "\n"))
		}
		all = append(all, data)
	}
	return all
}

// Only the refused entries go again, matched by their place, in their order.
func (s *Subject) refusedEntries(t *testing.T) {
	for _, code := range []string{s.Throttled, "InternalFailure"} {
		t.Run(code, func(t *testing.T) {
			r := s.Start(t, awslocal.Config{KeepBodies: true}, LogKey...)
			r.Fault(awslocal.Fault{Kind: awslocal.Partial, Code: code, Entries: []int{0, 3, 9}},
				awslocal.Fault{Kind: awslocal.Partial, Code: code, Entries: []int{1}},
				awslocal.Fault{Kind: awslocal.Partial, Code: code}) // all of them
			r.Want(delivery.OK, Numbered(0, 10))
			got := sentIn(t, r.Calls())
			want := [][]string{got[0], {Text(0), Text(3), Text(9)}, {Text(3)}, {Text(3)}}
			if !slices.EqualFunc(got, want, slices.Equal) {
				t.Errorf("got  %v\nwant %v", got[1:], want[1:])
			}
			r.WantOnce(0, 10)
			r.Account(10, 10, 0)
			r.WantCount(delivery.Resent, 5)
			r.WantCount(delivery.Requests, 4)
			r.WantCount(delivery.Failed, 0)
			r.WantCount(delivery.Throttled, map[bool]int{true: 5}[code == s.Throttled])
			r.Log.Want(t, "warning", "refused", code)
			r.Log.NoErrors(t)
		})
	}
	t.Run("without an answer", func(t *testing.T) {
		r := s.Start(t, awslocal.Config{KeepBodies: true}, LogKey...)
		r.Fault(awslocal.Fault{Kind: awslocal.ShortAnswer, Entries: []int{3}})
		r.Want(delivery.OK, Numbered(0, 10))
		if got := sentIn(t, r.Calls()); len(got) != 2 || !slices.Equal(got[1], []string{Text(7), Text(8), Text(9)}) {
			t.Errorf("got %v, want the last three again", got[1:])
		}
		r.WantOnce(0, 10)
		r.Account(10, 10, 0)
	})
	t.Run("of many calls", func(t *testing.T) {
		r := s.Start(t, awslocal.Config{Seed: 1}, LogKey...)
		r.AWS.SetFaults(s.Operation, []awslocal.Fault{{Kind: awslocal.Partial, Probability: 1, Rate: 0.3}})
		r.Want(delivery.OK, Numbered(0, 5000))
		r.WantOnce(0, 5000)
		r.Account(5000, 5000, 0)
		// What was refused of several calls goes out together: each by itself they
		// would take 70 calls.
		if n := len(r.Calls()); n > 45 {
			t.Errorf("%d calls, want fewer than 45", n)
		}
	})
	t.Run("of records put together", func(t *testing.T) {
		for _, opts := range s.aggregations() {
			r := s.Start(t, awslocal.Config{}, opts...)
			r.Fault(awslocal.Fault{Kind: awslocal.Partial, Code: "InternalFailure", Entries: []int{1}})
			r.Want(delivery.OK, Numbered(0, 1500))
			calls := r.Calls()
			if len(calls) != 2 || calls[0].Records < 3 || calls[1].Records != 1 {
				t.Errorf("%v: %d calls, the first with %d records, want 2 and some", opts, len(calls), calls[0].Records)
			}
			r.wantOnce(s.split(t, r), 0, 1500)
			r.Account(1500, 1500, 0)
		}
	})
}

// aggregations are the options that put records together, so that 1,500
// numbered ones take a few entries.
func (s *Subject) aggregations() [][]string {
	all := [][]string{append([]string{"simple_aggregation", "true", "max_record_size", "4K", "aggregation_max_size", "4K"}, LogKey...)}
	if s.Keys {
		all = append(all, append([]string{"aggregation", "true", "aggregation_max_size", "4K"}, LogKey...))
	}
	return all
}

// split returns the records out of those that were put together.
func (s *Subject) split(t testing.TB, r *Rig) (texts []string) {
	for _, rec := range r.Received() {
		users := []string{rec.Data}
		if s.Deaggregate != nil {
			users = s.Deaggregate(t, rec)
		}
		for _, u := range users {
			for line := range strings.Lines(u) {
				texts = append(texts, s.Ended(strings.TrimSuffix(line, "\n")))
			}
		}
	}
	return texts
}

// Answers that the services do not give, and other endpoints might.
func (s *Subject) oddAnswers(t *testing.T) {
	// f wants that of 3 records only those of again are sent a second time.
	f := func(name string, answer func(w http.ResponseWriter), again ...int) {
		t.Run(name, func(t *testing.T) {
			var second []string
			calls := atomic.Int32{}
			url := Scripted(t, func(n int, in Request, w http.ResponseWriter) {
				calls.Add(1)
				if n == 0 {
					answer(w)
					return
				}
				for _, r := range in.Records {
					second = append(second, strings.TrimSuffix(string(r.Data), "\n"))
				}
				s.Accept(w, len(in.Records), nil)
			})
			r := s.StartAt(t, url, LogKey...)
			r.Want(delivery.OK, Numbered(0, 3))
			var want []string
			for _, i := range again {
				want = append(want, Text(i))
			}
			if !slices.Equal(second, want) {
				t.Errorf("sent again: %v, want %v", second, want)
			}
			if n := int(calls.Load()); n != 1+min(1, len(again)) {
				t.Errorf("%d calls", n)
			}
			r.Account(3, 3, 0)
		})
	}
	ok := func(i int) string { return fmt.Sprintf(`{%q:"%d"}`, s.ID, i) }
	bad := `{"ErrorCode":"InternalFailure","ErrorMessage":"x"}`
	all := []int{0, 1, 2}
	f("all good", func(w http.ResponseWriter) { s.Answer(w, 0, ok(0), ok(1), ok(2)) })
	f("no failures counted, one there", func(w http.ResponseWriter) { s.Answer(w, 0, ok(0), bad, ok(2)) }, 1)
	f("failures counted, none there", func(w http.ResponseWriter) { s.Answer(w, 2, ok(0), ok(1), ok(2)) })
	f("more counted than there are", func(w http.ResponseWriter) { s.Answer(w, 3, ok(0), bad, ok(2)) }, 1)
	f("too short", func(w http.ResponseWriter) { s.Answer(w, 0, ok(0)) }, 1, 2)
	f("too short, and one of them refused", func(w http.ResponseWriter) { s.Answer(w, 1, bad, ok(1)) }, 0, 2)
	f("too long", func(w http.ResponseWriter) { s.Answer(w, 0, ok(0), ok(1), ok(2), bad) })
	f("no results", func(w http.ResponseWriter) { s.Answer(w, 0) }, all...)
	f("results of nothing", func(w http.ResponseWriter) { s.Answer(w, 0, "{}", "null", ok(2)) }, 0, 1)
	f("an id and a code", func(w http.ResponseWriter) {
		s.Answer(w, 1, ok(0), fmt.Sprintf(`{%q:"1","ErrorCode":"InternalFailure"}`, s.ID), ok(2))
	}, 1)
	f("null for what is not there", func(w http.ResponseWriter) {
		s.Answer(w, 1, ok(0), fmt.Sprintf(`{%q:"1","ErrorCode":null,"ErrorMessage":null}`, s.ID), fmt.Sprintf(`{%q:null,"ErrorCode":"New","ErrorMessage":"y"}`, s.ID))
	}, 2)
	f("an empty object", func(w http.ResponseWriter) { fmt.Fprint(w, "{}") }, all...)
	f("nothing", func(http.ResponseWriter) {}, all...)
	f("no JSON", func(w http.ResponseWriter) { fmt.Fprint(w, "<html>fine</html>") }, all...)
	f("half an answer", func(w http.ResponseWriter) {
		fmt.Fprintf(w, `{%q:0,%q:[%s,`, s.FailedCount, s.Responses, ok(0))
	}, all...)
}

// once is each fault that passes, and after which nothing has arrived.
var once = map[string]awslocal.Fault{
	"throttled":                {Kind: awslocal.Throttle},
	"throttled, of all APIs":   {Kind: awslocal.Error, Status: 400, Code: "ThrottlingException"},
	"429 without a code":       {Kind: awslocal.HTML, Status: 429},
	"500":                      {Kind: awslocal.Error},
	"500 of an unknown code":   {Kind: awslocal.Error, Status: 500, Code: "Whatever"},
	"503":                      {Kind: awslocal.Error, Status: 503, Code: "ServiceUnavailable"},
	"502 of a proxy":           {Kind: awslocal.HTML},
	"404 of a proxy":           {Kind: awslocal.HTML, Status: 404},
	"reset":                    {Kind: awslocal.Reset},
	"hang":                     {Kind: awslocal.Hang},
	"KMS throttled":            {Kind: awslocal.Error, Status: 400, Code: "KMSThrottlingException"},
	"request timeout":          {Kind: awslocal.Error, Status: 408, Code: "RequestTimeoutException"},
	"request aborted":          {Kind: awslocal.Error, Status: 400, Code: "RequestAbortedException"},
	"malformed on the way":     {Kind: awslocal.Error, Status: 400, Code: "MalformedHttpRequestException"},
	"slow":                     {Kind: awslocal.Slow, Delay: 50 * time.Millisecond},
	"closed after the answer":  {Kind: awslocal.CloseAfter},
	"reset at the next":        {Kind: awslocal.Stale},
	"asked to wait for a time": {Kind: awslocal.Throttle, RetryAfter: "0"},
}

// A call that fails in a way that passes is made again, whole.
func (s *Subject) failedCalls(t *testing.T) {
	tests := make(map[string]func(*testing.T))
	for name, fault := range once {
		tests[name] = func(t *testing.T) {
			opts, faults := LogKey, []awslocal.Fault{fault, fault}
			if fault.Kind == awslocal.Hang {
				opts, faults = append([]string{"http_request_timeout", "2s"}, LogKey...), faults[:1]
			}
			r := s.Start(t, awslocal.Config{}, opts...)
			r.Fault(faults...)
			r.Want(delivery.OK, Numbered(0, 10))
			r.Want(delivery.OK, Numbered(10, 20))
			r.WantOnce(0, 20)
			r.Account(20, 20, 0)
			r.Log.NoErrors(t)
		}
	}
	side(t, tests)
	t.Run("counted", func(t *testing.T) {
		r := s.Start(t, awslocal.Config{}, LogKey...)
		r.Fault(awslocal.Fault{Kind: awslocal.Throttle}, awslocal.Fault{Kind: awslocal.Error}, awslocal.Fault{Kind: awslocal.Error})
		r.Want(delivery.OK, Numbered(0, 10))
		for c, want := range map[delivery.Counter]int{delivery.Requests: 4, delivery.Throttled: 1, delivery.Failed: 2, delivery.Resent: 30, delivery.Retries: 0} {
			r.WantCount(c, want)
		}
		r.Log.Want(t, "warning", "holds calls for \"s\" back")
		r.Log.Want(t, "warning", "failed and is made again", "InternalFailure")
	})
	// On a kept connection that ends while the request is being written, so that it
	// surely did nothing, and is made again at once. (Should the kernel take all of
	// it before, it is a failure like others.)
	t.Run("cut short", func(t *testing.T) {
		r := s.Start(t, awslocal.Config{}, LogKey...)
		r.Want(delivery.OK, Numbered(0, 10))
		r.Fault(awslocal.Fault{Kind: awslocal.Reset})
		text := strings.Repeat("x", 100_000)
		large := make([]any, 35)
		for i := range large {
			large[i] = Map{"log", text}
		}
		r.Want(delivery.OK, Chunk(large...))
		r.WantCalls(10, 0, 35)
		r.WantCount(delivery.Requests, 3)
	})
	t.Run("answered byte by byte", func(t *testing.T) {
		r := s.Start(t, awslocal.Config{}, LogKey...)
		r.Fault(awslocal.Fault{Kind: awslocal.Trickle, Delay: 10 * time.Microsecond})
		r.Want(delivery.OK, Numbered(0, 1))
		r.WantOnce(0, 1)
		r.Account(1, 1, 0)
	})
	t.Run("endpoint down", func(t *testing.T) {
		r := s.Start(t, awslocal.Config{}, append([]string{"retry_budget", "300ms"}, LogKey...)...)
		r.AWS.Down()
		r.Want(delivery.Retry, Numbered(0, 10))
		r.Account(10, 0, 10)
		r.Log.Want(t, "error", "cannot send records to", "has fluent bit bring them again")
		if err := r.AWS.Up(); err != nil {
			t.Fatal(err)
		}
		r.Want(delivery.OK, Numbered(0, 10))
		r.WantOnce(0, 10)
		r.Account(10, 10, 0)
		r.Log.Want(t, "info", "records reach", "again")
	})
}

// A call whose answer is lost was made for all that anybody knows. Its records,
// and no others, arrive twice.
func (s *Subject) lostAnswers(t *testing.T) {
	tests := make(map[string]func(*testing.T))
	for name, fault := range map[string]awslocal.Fault{
		"cut off":              {Kind: awslocal.LostAnswer},
		"cut off in the body":  {Kind: awslocal.CutAnswer},
		"never answered":       {Kind: awslocal.Hang, Processed: true},
		"500 though processed": {Kind: awslocal.Error, Processed: true},
	} {
		tests[name] = func(t *testing.T) {
			timeout := "10s"
			if fault.Kind == awslocal.Hang {
				timeout = "4s"
			}
			r := s.Start(t, awslocal.Config{KeepBodies: true}, append([]string{"http_request_timeout", timeout, "concurrency", "1"}, LogKey...)...)
			r.Fault(awslocal.Fault{Kind: awslocal.None}, fault)
			r.Want(delivery.OK, Numbered(0, 1200))
			var twice []string
			for _, text := range sentIn(t, r.Calls()[1:2])[0] {
				twice = append(twice, s.Ended(text))
			}
			if len(twice) != 500 || r.AWS.LostRecords() != 500 {
				t.Errorf("%d records in the call, %d lost, want 500", len(twice), r.AWS.LostRecords())
			}
			r.WantOnce(0, 1200, twice...)
			r.Account(1200, 1200, 0)
		}
	}
	side(t, tests)
}

// Refused credentials are renewed, once: more would not help, and ask STS to death.
func (s *Subject) credentials(t *testing.T) {
	start := func(t *testing.T) *Rig {
		srv := s.Serve(t, awslocal.Config{RefuseUnknownKeys: true})
		r := s.StartAt(t, srv.URL, append([]string{"credentials_endpoint", srv.CredentialsURI()}, LogKey...)...)
		r.AWS = srv
		return r
	}
	t.Run("expired", func(t *testing.T) {
		r := start(t)
		r.Want(delivery.OK, Numbered(0, 10))
		r.AWS.STS().Expire(r.AWS.STS().Credentials()[0].AccessKeyID)
		r.Want(delivery.OK, Numbered(10, 20))
		r.WantCalls(10, 0, 10) // awslocal does not look into what it does not authenticate
		if n := len(r.AWS.STS().Credentials()); n != 2 {
			t.Errorf("credentials were fetched %d times, want 2", n)
		}
		r.WantOnce(0, 20)
		r.Account(20, 20, 0)
		r.Log.NoErrors(t)
	})
	for _, code := range []string{"ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException"} {
		t.Run("for good, "+code, func(t *testing.T) {
			r := start(t)
			r.AWS.SetFaults(s.Operation, []awslocal.Fault{{Kind: awslocal.Error, Status: 400, Code: code, Probability: 1}})
			r.Want(delivery.Retry, Numbered(0, 10))
			if got := r.AWS.Counts(s.Operation).Requests; got != 2 {
				t.Errorf("%d calls, want 2", got)
			}
			r.Account(10, 0, 10)
			r.Want(delivery.Retry, Numbered(0, 10))
			if got, fetched := r.AWS.Counts(s.Operation).Requests, len(r.AWS.STS().Credentials()); got != 3 || fetched != 2 {
				t.Errorf("%d calls and %d credentials, want 3 and 2", got, fetched)
			}
			r.AWS.ClearFaults()
			r.Want(delivery.OK, Numbered(0, 10))
			r.WantOnce(0, 10)
			r.Account(10, 10, 0)
		})
	}
	t.Run("none to be had", func(t *testing.T) {
		srv := s.Serve(t, awslocal.Config{})
		srv.SetFaults("ContainerCredentials", []awslocal.Fault{{Kind: awslocal.Error, Status: 404, Probability: 1}})
		r := s.StartAt(t, srv.URL, append([]string{"credentials_endpoint", srv.CredentialsURI(), "retry_budget", "200ms"}, LogKey...)...)
		r.AWS = srv
		r.Want(delivery.Retry, Numbered(0, 10))
		if got := srv.Counts(s.Operation).Requests; got != 0 {
			t.Errorf("%d calls, want none", got)
		}
		r.Log.Want(t, "error", "cannot send records to")
		srv.ClearFaults()
		r.Want(delivery.OK, Numbered(0, 10))
		r.WantOnce(0, 10)
		r.Account(10, 10, 0)
	})
}

// Somebody has to put it right, and the records are good: the chunk goes back
// at once, and the flush's other calls are not made.
func (s *Subject) later(t *testing.T) {
	for _, code := range s.Later {
		t.Run(code, func(t *testing.T) {
			r := s.Start(t, awslocal.Config{}, append([]string{"concurrency", "1"}, LogKey...)...)
			r.Fault(awslocal.Fault{Kind: awslocal.Error, Status: 400, Code: code})
			r.Want(delivery.Retry, Numbered(0, 1200))
			if got := len(r.Calls()); got != 1 {
				t.Errorf("%d calls, want 1", got)
			}
			r.Account(1200, 0, 1200)
			r.Log.Want(t, "error", "cannot send records to", code)
			r.Want(delivery.OK, Numbered(0, 1200))
			r.WantOnce(0, 1200)
			r.Account(1200, 1200, 0)
			r.Log.Want(t, "info", "records reach", "again")
		})
	}
	t.Run("no such stream", func(t *testing.T) {
		r := s.Start(t, awslocal.Config{}, LogKey...)
		r.AWS.Kinesis().DeleteStream("s")
		r.AWS.Firehose().DeleteStream("s")
		r.Want(delivery.Retry, Numbered(0, 10))
		r.Want(delivery.Retry, Numbered(0, 10))
		if got := len(r.Calls()); got != 2 {
			t.Errorf("%d calls, want 2", got)
		}
		if err := r.AWS.Kinesis().CreateStream("s", 2); err != nil {
			t.Fatal(err)
		}
		if err := r.AWS.Firehose().CreateStream("s"); err != nil {
			t.Fatal(err)
		}
		r.Want(delivery.OK, Numbered(0, 10))
		r.WantOnce(0, 10)
		r.Account(10, 10, 0)
	})
}

// picky refuses calls as a whole that hold a record with "bad" in it, and
// accepts others, perhaps not all of their records.
type picky struct {
	mu       sync.Mutex
	calls    int
	accepted []string
	code     func(call, i int) string // of an entry; nil: all are accepted
}

func (p *picky) answer(s *Subject, in Request, w http.ResponseWriter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	for _, r := range in.Records {
		if strings.Contains(string(r.Data), "bad") {
			Refuse(w, 400, "ValidationException")
			return
		}
	}
	s.Accept(w, len(in.Records), func(i int) (code string) {
		if p.code != nil {
			code = p.code(p.calls, i)
		}
		if code == "" {
			p.accepted = append(p.accepted, string(in.Records[i].Data))
		}
		return code
	})
}

func (s *Subject) picky(t *testing.T, code func(call, i int) string, opts ...string) (*picky, *Rig) {
	p := &picky{code: code}
	url := Scripted(t, func(_ int, in Request, w http.ResponseWriter) { p.answer(s, in, w) })
	return p, s.StartAt(t, url, append(opts, LogKey...)...)
}

// A call refused for what is in it costs the record that is to blame, and no other.
func (s *Subject) badRecord(t *testing.T) {
	withBad := func(n int, at ...int) (c []byte) {
		for i := range n {
			text := Text(i)
			if slices.Contains(at, i) {
				text = "bad"
			}
			c = AppendRecord(c, Second, Line(text))
		}
		return c
	}
	f := func(name string, n, maxCalls int, code func(call, i int) string, at ...int) {
		t.Run(name, func(t *testing.T) {
			p, r := s.picky(t, code)
			r.Want(delivery.OK, withBad(n, at...))
			if len(p.accepted) != n-len(at) {
				t.Errorf("%d records were accepted, want %d", len(p.accepted), n-len(at))
			}
			slices.Sort(p.accepted)
			if len(slices.Compact(slices.Clone(p.accepted))) != len(p.accepted) {
				t.Error("some arrived twice")
			}
			if p.calls > maxCalls {
				t.Errorf("%d calls, want at most %d", p.calls, maxCalls)
			}
			r.Account(n, n-len(at), 0, delivery.Refused, len(at))
			r.Log.Want(t, "warning", "refuses 1 records", "ValidationException")
		})
	}
	f("of one", 1, 1, nil, 0)
	f("the first", 500, 20, nil, 0)
	f("the last", 500, 20, nil, 499)
	f("two", 500, 40, nil, 100, 400)
	f("in the third call", 1200, 25, nil, 1100)
	f("while others are refused in part", 500, 60, func(call, i int) string {
		if call%2 == 0 && i%10 == 0 {
			return "InternalFailure"
		}
		return ""
	}, 77)
	t.Run("of records put together", func(t *testing.T) {
		for _, opts := range s.aggregations() {
			p, r := s.picky(t, nil, opts...)
			r.Want(delivery.OK, withBad(1500, 700))
			if n := r.Dropped(delivery.Refused); n < 2 || n > 300 {
				t.Errorf("%v: %d records are dropped, want those that were put together with the bad one", opts, n)
			}
			if want := r.Get(delivery.Requests); len(p.accepted) == 0 || uint64(p.calls) != want {
				t.Errorf("%v: %d accepted in %d calls, counted %d", opts, len(p.accepted), p.calls, want)
			}
			r.Account(1500, int(r.Get(delivery.Sent)), 0, delivery.Refused, int(r.Dropped(delivery.Refused)))
		}
	})
}

// Where everything is refused, it is not tried record by record.
func (s *Subject) allBad(t *testing.T) {
	p, r := s.picky(t, nil)
	var c []byte
	for range 500 {
		c = AppendRecord(c, Second, Line("bad"))
	}
	r.Want(delivery.OK, c)
	if p.calls > 60 {
		t.Errorf("%d calls for 500 records, want at most 60", p.calls)
	}
	r.Account(500, 0, 0, delivery.Refused, 500)
}

// What does not pass is tried for as long as the budget lasts, and not too often.
func (s *Subject) budget(t *testing.T) {
	tests := make(map[string]func(*testing.T))
	for name, fault := range map[string]awslocal.Fault{
		"all entries": {Kind: awslocal.Partial, Code: "InternalFailure", Probability: 1},
		"one entry":   {Kind: awslocal.Partial, Code: "InternalFailure", Entries: []int{0}, Probability: 1},
		"calls":       {Kind: awslocal.Error, Probability: 1},
	} {
		for _, concurrency := range []string{"1", "4"} {
			tests[name+", concurrency "+concurrency] = func(t *testing.T) {
				r := s.Start(t, awslocal.Config{}, append([]string{"retry_budget", "600ms", "concurrency", concurrency}, LogKey...)...)
				r.AWS.SetFaults(s.Operation, []awslocal.Fault{fault})
				r.Want(delivery.Retry, Numbered(0, 1200))
				if n := len(r.Calls()); n > 60 {
					t.Errorf("%d calls in 600 ms", n)
				}
				arrived := len(r.Data())
				r.Account(1200, arrived, 1200-arrived)
				r.WantCount(delivery.Retries, 1)
				r.AWS.ClearFaults()
				r.Want(delivery.OK, Numbered(0, 1200))
				r.WantOnce(0, 1200)
				r.Account(1200, 1200, 0)
			}
		}
	}
	side(t, tests)
	t.Run("none", func(t *testing.T) {
		r := s.Start(t, awslocal.Config{}, append([]string{"retry_budget", "0"}, LogKey...)...)
		r.Fault(awslocal.Fault{Kind: awslocal.Error})
		r.Want(delivery.Retry, Numbered(0, 10))
		if n := len(r.Calls()); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
		r.Want(delivery.OK, Numbered(0, 10))
		r.WantOnce(0, 10)
	})
	t.Run("asked to wait for longer", func(t *testing.T) {
		r := s.Start(t, awslocal.Config{}, append([]string{"retry_budget", "300ms"}, LogKey...)...)
		r.Fault(awslocal.Fault{Kind: awslocal.Throttle, RetryAfter: "60"})
		r.Want(delivery.Retry, Numbered(0, 10))
		r.Account(10, 0, 10)
		if n := len(r.Calls()); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
	})
}

// A service that holds everything back is asked less and less often, by all
// flushes together; a few refusals slow nobody down.
func (s *Subject) pace(t *testing.T) {
	const size = 60 // what shares no call
	tests := make(map[string]func(*testing.T))
	for name, fault := range map[string]awslocal.Fault{
		"calls":   {Kind: awslocal.Throttle, Probability: 1},
		"entries": {Kind: awslocal.Partial, Code: s.Throttled, Probability: 1},
	} {
		tests[name] = func(t *testing.T) {
			r := s.Start(t, awslocal.Config{}, append([]string{"retry_budget", "500ms"}, LogKey...)...)
			r.AWS.SetFaults(s.Operation, []awslocal.Fault{fault})
			Parallel(8, func(i int) { r.Want(delivery.Retry, Numbered(size*i, size*i+size)) })
			// By themselves they would make 29.
			if n := len(r.Calls()); n < 1 || n > 19 {
				t.Errorf("%d calls in 500 ms, want some and at most 19", n)
			}
			if name == "calls" {
				r.WantCount(delivery.Throttled, len(r.Calls()))
			} else {
				r.WantCount(delivery.Throttled, size*len(r.Calls()))
			}
			r.Account(8*size, 0, 8*size)
			r.AWS.ClearFaults()
			// Its turns come again, with Fluent Bit's help for those that wait longest.
			Parallel(8, func(i int) {
				for r.Flush(delivery.Chunk{Tag: "tag", Data: Numbered(size*i, size*i+size)}) == delivery.Retry {
				}
			})
			r.WantOnce(0, 8*size)
			r.Account(8*size, 8*size, 0)
		}
	}
	side(t, tests)
}

// Fluent Bit can only bring a whole chunk again. What was delivered of it is
// left alone then.
func (s *Subject) ledger(t *testing.T) {
	lasting := awslocal.Fault{Kind: awslocal.Partial, Code: "InternalFailure", Entries: []int{0, 1}, Probability: 1}
	t.Run("records", func(t *testing.T) {
		r := s.Start(t, awslocal.Config{KeepBodies: true}, append([]string{"retry_budget", "200ms"}, LogKey...)...)
		r.AWS.SetFaults(s.Operation, []awslocal.Fault{lasting})
		r.Want(delivery.Retry, Numbered(0, 10))
		r.Account(10, 8, 2)
		r.Want(delivery.Retry, Numbered(0, 10))
		r.Account(10, 8, 2)
		before := len(r.Calls())
		r.AWS.ClearFaults()
		r.Want(delivery.OK, Numbered(0, 10))
		if got := sentIn(t, r.Calls()[before:]); len(got) != 1 || !slices.Equal(got[0], []string{Text(0), Text(1)}) {
			t.Errorf("at last %v were sent, want the first two", got)
		}
		r.WantOnce(0, 10)
		r.Account(10, 10, 0)
		r.WantCount(delivery.Skipped, 16)
		r.WantCount(delivery.Retries, 2)
	})
	t.Run("records put together", func(t *testing.T) {
		for _, opts := range s.aggregations() {
			r := s.Start(t, awslocal.Config{}, append([]string{"retry_budget", "200ms"}, opts...)...)
			r.AWS.SetFaults(s.Operation, []awslocal.Fault{lasting})
			r.Want(delivery.Retry, Numbered(0, 1500))
			sent := int(r.Get(delivery.Sent))
			if sent == 0 || sent >= 1500 {
				t.Errorf("%v: %d records are delivered at first, want some of 1,500", opts, sent)
			}
			r.Account(1500, sent, 1500-sent)
			r.AWS.ClearFaults()
			r.Want(delivery.OK, Numbered(0, 1500))
			r.wantOnce(s.split(t, r), 0, 1500)
			r.Account(1500, 1500, 0)
			r.WantCount(delivery.Skipped, sent)
		}
	})
	t.Run("dropped records stay dropped", func(t *testing.T) {
		r := s.Start(t, awslocal.Config{}, append([]string{"retry_budget", "100ms"}, LogKey...)...)
		r.Fault(awslocal.Fault{Kind: awslocal.AccessDenied})
		c := Chunk(Line("good"), Map{"other", 1}, Line(""))
		r.Want(delivery.Retry, c)
		r.Account(3, 0, 1, delivery.MissingKey, 1, delivery.Empty, 1)
		r.Want(delivery.OK, c)
		r.Account(3, 1, 0, delivery.MissingKey, 1, delivery.Empty, 1)
		r.WantData(s.Ended("good"))
	})
	t.Run("broken chunk", func(t *testing.T) {
		r := s.Start(t, awslocal.Config{}, append([]string{"retry_budget", "100ms"}, LogKey...)...)
		c := Numbered(0, 3)
		r.Fault(awslocal.Fault{Kind: awslocal.AccessDenied})
		r.Want(delivery.Retry, c[:len(c)-1]) // first all that can be read has to be across
		r.Want(delivery.Error, c[:len(c)-1])
		r.WantOnce(0, 2)
		r.Account(2, 2, 0)
	})
}

// harsh are all faults at once, of those after which nothing has arrived.
func (s *Subject) harsh() []awslocal.Fault {
	return []awslocal.Fault{
		{Kind: awslocal.Throttle, Probability: 0.1},
		{Kind: awslocal.Error, Probability: 0.03},
		{Kind: awslocal.HTML, Probability: 0.03},
		{Kind: awslocal.Reset, Probability: 0.03},
		{Kind: awslocal.ShortAnswer, Probability: 0.05, Entries: []int{7}},
		{Kind: awslocal.Partial, Probability: 0.9, Rate: 0.1},
	}
}

// Fluent Bit's workers flush side by side, here chunks of one or several calls.
func (s *Subject) workers(t *testing.T) {
	tests := make(map[string]func(*testing.T))
	for _, workers := range []int{1, 2, 4, 8} {
		tests[fmt.Sprint(workers)] = func(t *testing.T) {
			const chunks, size = 2, 700
			r := s.Start(t, awslocal.Config{Seed: uint64(workers)}, append([]string{"retry_budget", "10s"}, LogKey...)...)
			r.AWS.SetFaults(s.Operation, s.harsh())
			Parallel(workers, func(w int) {
				for k := range chunks {
					first := (w*chunks + k) * size
					for r.Flush(delivery.Chunk{Tag: "tag", Data: Numbered(first, first+size)}) == delivery.Retry {
					}
				}
			})
			n := workers * chunks * size
			r.WantOnce(0, n)
			r.Account(n, n, 0)
		}
	}
	side(t, tests)
}

// gauge counts the calls in flight. Each waits until so many are there at once,
// or until it has become clear that they will not be.
type gauge struct {
	mu        sync.Mutex
	now, most int
	enough    chan struct{}
	want      int
	sent      map[string]bool
}

func newGauge(want int) *gauge {
	return &gauge{enough: make(chan struct{}), want: want, sent: make(map[string]bool)}
}

func (g *gauge) enter() {
	g.mu.Lock()
	g.now++
	if g.now > g.most {
		g.most = g.now
		if g.most == g.want {
			close(g.enough)
		}
	}
	g.mu.Unlock()
	select {
	case <-g.enough:
	case <-time.After(10 * time.Second):
	}
}

func (g *gauge) leave(in Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now--
	for _, r := range in.Records {
		g.sent[string(r.Data)] = true
	}
}

// Calls overlap as the options say, and none is acknowledged before it is answered.
func (s *Subject) concurrency(t *testing.T) {
	for name, tt := range map[string]struct {
		opts []string
		want int
	}{
		"default":       {nil, 8},
		"concurrency 2": {[]string{"concurrency", "2"}, 2},
		"concurrency 1": {[]string{"concurrency", "1"}, 1},
	} {
		t.Run(name, func(t *testing.T) { s.Overlap(t, tt.want, tt.opts...) })
	}
}

// Overlap wants a flush of many calls to have so many of them in flight at once,
// and no more.
func (s *Subject) Overlap(t *testing.T, want int, opts ...string) {
	g := newGauge(want)
	url := Scripted(t, func(_ int, in Request, w http.ResponseWriter) {
		g.enter()
		g.leave(in)
		s.Accept(w, len(in.Records), nil)
	})
	r := s.StartAt(t, url, append(opts, LogKey...)...)
	if room := r.Room(); (room.InOrder > 0) != (want == 1) {
		t.Errorf("with %d calls at once, chunks have room in their order: %+v", want, room)
	}
	r.Want(delivery.OK, Numbered(0, 6000))
	if g.most != want {
		t.Errorf("%d calls were in flight at once, want %d", g.most, want)
	}
	if len(g.sent) != 6000 {
		t.Errorf("the flush came back when %d of 6,000 records had been answered", len(g.sent))
	}
	r.Account(6000, 6000, 0)
}

// That a chunk was read is told before its calls are answered.
func (s *Subject) wasRead(t *testing.T) {
	read := make(chan struct{})
	url := Scripted(t, func(_ int, in Request, w http.ResponseWriter) {
		select {
		case <-read:
		case <-time.After(5 * time.Second):
			t.Error("the chunk was read, and nobody told so before the answer")
		}
		s.Accept(w, len(in.Records), nil)
	})
	r := s.StartAt(t, url, LogKey...)
	data := Numbered(0, 10)
	told := func(_, unsent int) {
		if unsent < len(data)/2 || unsent > 1000+4*len(data) {
			t.Errorf("%d bytes of the body are unsent, of a chunk of %d", unsent, len(data))
		}
		close(read)
	}
	if got := r.Flush(delivery.Chunk{Tag: "tag", Data: data, Read: told}); got != delivery.OK {
		t.Errorf("got %v", got)
	}
}

// Fifty thousand records with 5 % of the entries refused and 10 % of the calls
// throttled: all of them, each once.
func (s *Subject) manyFaults(t *testing.T) {
	n := 50_000
	if Race || testing.Short() {
		n = 10_000
	}
	r := s.Start(t, awslocal.Config{Seed: 5}, LogKey...)
	r.AWS.SetFaults(s.Operation, []awslocal.Fault{
		{Kind: awslocal.Throttle, Probability: 0.1},
		{Kind: awslocal.Partial, Probability: 1, Rate: 0.05},
	})
	r.Fault(awslocal.Fault{Kind: awslocal.Throttle}) // should chance have none in so few calls
	const chunk = 5000
	for first := 0; first < n; first += chunk {
		r.Want(delivery.OK, Numbered(first, first+chunk))
	}
	r.WantOnce(0, n)
	r.Account(n, n, 0)
	played := r.AWS.FaultsPlayed()[s.Operation]
	if played[awslocal.Throttle] == 0 || played[awslocal.Partial] == 0 {
		t.Errorf("faults: %v", maps.Collect(maps.All(played)))
	}
	if calls := len(r.Calls()); calls > n/500*2 {
		t.Errorf("%d calls, want less than twice the %d without faults", calls, n/500)
	}
}
