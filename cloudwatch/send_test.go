package cloudwatch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/records/recordstest"
)

// always is a fault that every call meets.
func always(f awslocal.Fault) []awslocal.Fault {
	f.Probability = 1
	return []awslocal.Fault{f}
}

// REJECTED EVENTS

// TestRejectedEvents counts what the service has left out of a call it accepted:
// the answer has places, which are no counts and may overlap.
func TestRejectedEvents(t *testing.T) {
	t.Parallel()
	const n = 10
	tests := []struct {
		answer                  string
		tooOld, expired, tooNew int
	}{
		{`{}`, 0, 0, 0},
		{`{"nextSequenceToken":"1","rejectedLogEventsInfo":null}`, 0, 0, 0},
		{`{"rejectedLogEventsInfo":{}}`, 0, 0, 0},
		{`{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":3}}`, 3, 0, 0},
		{`{"rejectedLogEventsInfo":{"expiredLogEventEndIndex":4}}`, 0, 4, 0},
		{`{"rejectedLogEventsInfo":{"tooNewLogEventStartIndex":8}}`, 0, 0, 2},
		{`{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":3,"expiredLogEventEndIndex":5,"tooNewLogEventStartIndex":9}}`, 3, 2, 1},
		{`{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":5,"expiredLogEventEndIndex":3}}`, 5, 0, 0},
		{`{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":4,"expiredLogEventEndIndex":4,"tooNewLogEventStartIndex":4}}`, 4, 0, 6},
		{`{"rejectedLogEventsInfo":{"expiredLogEventEndIndex":7,"tooNewLogEventStartIndex":2}}`, 0, 7, 3}, // makes no sense
		{`{"rejectedLogEventsInfo":{"tooNewLogEventStartIndex":0}}`, 0, 0, 10},
		{`{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":10}}`, 10, 0, 0},
		{`{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":99}}`, 10, 0, 0},
		{`{"rejectedLogEventsInfo":{"tooNewLogEventStartIndex":99}}`, 0, 0, 0},
		{`{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":-1,"tooNewLogEventStartIndex":-1}}`, 0, 0, 0},
		{`{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":"3"}}`, 0, 0, 0},
		{`{"rejectedEntityInfo":{"errorType":"InvalidEntity"}}`, 0, 0, 0},
	}
	for _, tt := range tests {
		url, _ := scripted(t, func(_ string, _ int, _ []byte, w http.ResponseWriter) { _, _ = w.Write([]byte(tt.answer)) })
		r := newRigOn(t, nil, url)
		r.flush(delivery.OK, numbered(0, n))
		r.flush(delivery.OK, numbered(n, 2*n))
		sent := n - tt.tooOld - tt.expired - tt.tooNew
		r.account(2*n, 2*sent, 0, delivery.TooOld, 2*tt.tooOld, delivery.Expired, 2*tt.expired, delivery.TooNew, 2*tt.tooNew)
		for why, k := range map[delivery.Reason]int{delivery.TooOld: tt.tooOld, delivery.Expired: tt.expired, delivery.TooNew: tt.tooNew} {
			if lines := r.log.All("warning", fmt.Sprintf("left out %d events", k), `log group "g", stream "s": `+why.String()); k > 0 && len(lines) != 1 {
				t.Errorf("%s: %d %v, got the lines %q", tt.answer, k, why, r.log.All())
			}
		}
		if t.Failed() {
			t.Fatalf("at %s", tt.answer)
		}
	}
}

// TestEventsOfTheWrongTime has a service with a clock refuse them.
func TestEventsOfTheWrongTime(t *testing.T) {
	t.Parallel()
	const day, hour = 24 * 3600 * 1000, 3600 * 1000
	r := newRig(t, awslocal.Config{}, logKey, "log", "log_retention_days", "3")
	records := []record{
		{0, line("good")}, {-15 * day, line("old")}, {3 * hour, line("new")}, {-4 * day, line("out of retention")},
		{-20 * day, line("old")}, {-1, line("good")}, {-13 * day, line("out of retention")},
	}
	r.flush(delivery.OK, chunkOf(record{0, line("good")})) // makes the group, with its retention
	r.flush(delivery.OK, chunkOf(records...))
	if got := r.messages("g", "s"); !slices.Equal(got, []string{"good", "good", "good"}) {
		t.Errorf("got %q", got)
	}
	r.account(8, 3, 0, delivery.TooOld, 2, delivery.Expired, 2, delivery.TooNew, 1)
}

// TestRejectedInOneCall has all three kinds in one call, at both ends of it.
func TestRejectedInOneCall(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log")
	r.srv.Logs().CreateStream("g", "s")
	r.srv.Script("PutLogEvents", awslocal.Fault{Kind: awslocal.RejectEvents, TooOld: 2, Expired: 5, TooNew: 4})
	r.flush(delivery.OK, numbered(0, 20))
	r.wantOnce("g", "s", 5, 16)
	r.account(20, 11, 0, delivery.TooOld, 2, delivery.Expired, 3, delivery.TooNew, 4)
}

// SEQUENCE TOKENS

type tokenBody struct {
	Token *string `json:"sequenceToken"`
}

// tokens are those of all PutLogEvents calls, "-" for a call without one.
func (r *rig) tokens() (all []string) {
	for _, call := range r.srv.Requests("PutLogEvents") {
		var body tokenBody
		if err := json.Unmarshal(call.Body, &body); err != nil {
			r.t.Fatal(err)
		}
		if body.Token == nil {
			all = append(all, "-")
		} else {
			all = append(all, *body.Token)
		}
	}
	return all
}

// TestNoSequenceTokens sends none to a service that does not ask for them, though
// it tells the next one in each answer.
func TestNoSequenceTokens(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{KeepBodies: true}, logKey, "log")
	r.srv.Logs().CreateStream("g", "s")
	r.flush(delivery.OK, numbered(0, 10))
	r.flush(delivery.OK, numbered(10, 20))
	if got := r.tokens(); !slices.Equal(got, []string{"-", "-"}) {
		t.Errorf("got %q", got)
	}
}

// TestSequenceTokens goes over to them when the endpoint asks.
func TestSequenceTokens(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{KeepBodies: true, SequenceTokens: true}, logKey, "log")
	r.srv.Logs().CreateStream("g", "s")
	for i := range 4 {
		r.flush(delivery.OK, numbered(i*10, i*10+10))
	}
	got := r.tokens()
	if len(got) != 5 || got[0] != "-" || got[1] != "-" || slices.Contains(got[2:], "-") || len(slices.Compact(got)) != 4 {
		t.Errorf("got %q, want one refusal and then a new token each time", got)
	}
	r.wantOnce("g", "s", 0, 40)
	r.wantCount(delivery.Failed, 1)
	r.wantCount(delivery.Resent, 10)
	r.log.Want(t, "warning", "the endpoint asks for sequence tokens")
	r.log.None(t, "is made again")

	// Made anew, the stream begins without a token.
	r.srv.Logs().DeleteStream("g", "s")
	r.flush(delivery.OK, numbered(40, 50))
	r.flush(delivery.OK, numbered(50, 60))
	r.wantOnce("g", "s", 40, 60)
	if got := r.tokens()[5:]; len(got) != 3 || got[0] == "-" || got[1] != "-" || got[2] == "-" {
		t.Errorf("got %q", got)
	}
	r.wantCount(delivery.Failed, 1)
	r.account(60, 60, 0)
}

// TestSequenceTokensWithWorkers has several workers, and batches that need
// sorting, write to one stream in turn.
func TestSequenceTokensWithWorkers(t *testing.T) {
	t.Parallel()
	const workers, rounds, size = 8, 5, 20
	r := newRig(t, awslocal.Config{SequenceTokens: true, Latency: time.Millisecond}, logKey, "log")
	recordstest.Parallel(workers, func(w int) {
		for round := range rounds {
			var c []byte
			for i := range size {
				c = appendRecord(c, now.Add(-time.Duration(i%3)*time.Second), line(message((w*rounds+round)*size+i)))
			}
			r.flushBeside(delivery.OK, c)
		}
	})
	r.wantOnce("g", "s", 0, workers*rounds*size)
	// Each worker may have one call under way when the endpoint begins to ask.
	if n := r.Get(delivery.Failed); n > workers+2 {
		t.Errorf("%d calls failed for their token", n)
	}
	r.log.NoErrors(t)
	r.account(workers*rounds*size, workers*rounds*size, 0)
}

// TestTwoWritersWithTokens has another shipper use up the tokens.
func TestTwoWritersWithTokens(t *testing.T) {
	t.Parallel()
	srv := startServer(t, awslocal.Config{SequenceTokens: true})
	a, b := newRigOn(t, srv, srv.URL, logKey, "log"), newRigOn(t, srv, srv.URL, logKey, "log")
	recordstest.Parallel(2, func(w int) {
		for i := range 20 {
			[]*rig{a, b}[w].flush(delivery.OK, numbered(w*1000+i, w*1000+i+1))
		}
	})
	if got := srv.Logs().Stream("g", "s").Len(); got != 40 {
		t.Errorf("%d events arrived", got)
	}
	a.log.NoErrors(t)
}

// TestDataAlreadyAccepted has the answer to a call be lost where the service
// knows a batch again: then nothing is there twice.
func TestDataAlreadyAccepted(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{SequenceTokens: true}, logKey, "log")
	r.flush(delivery.OK, numbered(0, 10))
	r.flush(delivery.OK, numbered(10, 20))
	for i := 2; i < 5; i++ {
		r.srv.Script("PutLogEvents", awslocal.Fault{Kind: awslocal.LostAnswer})
		r.flush(delivery.OK, numbered(i*10, i*10+10))
	}
	r.flush(delivery.OK, numbered(50, 60))
	r.wantOnce("g", "s", 0, 60)
	if r.Get(delivery.Sent) != 60 || r.Pending() != 0 || r.DroppedAll() != 0 {
		t.Errorf("%v", r.Counters)
	}
}

// TestDataAlreadyAcceptedAtFirst comes without any token having been sent.
func TestDataAlreadyAcceptedAtFirst(t *testing.T) {
	t.Parallel()
	url, calls := scripted(t, func(_ string, n int, body []byte, w http.ResponseWriter) {
		switch {
		case n == 0:
			refusal(w, 400, "DataAlreadyAcceptedException", "expectedSequenceToken", "7")
		case bytes.Contains(body, []byte(`"sequenceToken":"7"`)):
			_, _ = w.Write([]byte(`{"nextSequenceToken":"8"}`))
		default:
			refusal(w, 400, "InvalidParameterException")
		}
	})
	r := newRigOn(t, nil, url)
	r.flush(delivery.OK, numbered(0, 5))
	r.flush(delivery.OK, numbered(5, 10))
	if n := calls("PutLogEvents"); n != 2 {
		t.Errorf("%d calls were made", n)
	}
	r.account(10, 10, 0)
}

// TestBytesCounted has the bodies of calls that were accepted counted, and no others.
func TestBytesCounted(t *testing.T) {
	t.Parallel()
	var accepted int
	url, _ := scripted(t, func(_ string, n int, body []byte, w http.ResponseWriter) {
		if n < 2 {
			refusal(w, 500, "InternalFailure")
			return
		}
		accepted = len(body)
		_, _ = w.Write([]byte("{}"))
	})
	r := newRigOn(t, nil, url)
	r.flush(delivery.OK, numbered(0, 5))
	r.wantCount(delivery.Bytes, accepted)
}

// TestEndlessInvalidSequenceToken is bounded in calls and time.
func TestEndlessInvalidSequenceToken(t *testing.T) {
	t.Parallel()
	url, calls := scripted(t, func(_ string, n int, _ []byte, w http.ResponseWriter) {
		refusal(w, 400, "InvalidSequenceTokenException", "expectedSequenceToken", fmt.Sprint(n))
	})
	r := newRigOn(t, nil, url, "retry_budget", "300ms")
	recordstest.Parallel(4, func(w int) { r.flushBeside(delivery.Retry, numbered(w, w+1)) })
	if n := calls("PutLogEvents"); n > 4*12 {
		t.Errorf("%d calls were made", n)
	}
	r.log.Want(t, "error", "cannot send events", "InvalidSequenceTokenException")
	r.account(4, 0, 4)
}

// TestTurnIsWaitedForOnlySoLong hangs a call that holds the stream's turn.
func TestTurnIsWaitedForOnlySoLong(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{SequenceTokens: true}, logKey, "log", "retry_budget", "100ms", "http_request_timeout", "1s")
	r.srv.Logs().CreateStream("g", "s")
	r.targets.stream(target{"g", "s"}).expect("", true) // as after a call that was refused for its token
	r.srv.SetFaults("PutLogEvents", always(awslocal.Fault{Kind: awslocal.Hang}))
	began := time.Now()
	recordstest.Parallel(8, func(w int) { r.flushBeside(delivery.Retry, numbered(w, w+1)) })
	// One after the other they would take 8 s.
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("took %v", took)
	}
	r.srv.ClearFaults()
	for w := range 8 {
		r.flush(delivery.OK, numbered(w, w+1))
	}
	r.wantOnce("g", "s", 0, 8)
	r.account(8, 8, 0)
}

// FAULTS THAT PASS

// passing are faults after which the same events are sent again, and whether the
// service has them by then.
var passing = map[string]struct {
	fault awslocal.Fault
	twice bool
}{
	"throttled":             {awslocal.Fault{Kind: awslocal.Throttle}, false},
	"throttled, processed":  {awslocal.Fault{Kind: awslocal.Throttle, Processed: true}, true},
	"500":                   {awslocal.Fault{Kind: awslocal.Error}, false},
	"500, processed":        {awslocal.Fault{Kind: awslocal.Error, Processed: true}, true},
	"503":                   {awslocal.Fault{Kind: awslocal.Error, Status: 503, Code: "ServiceUnavailable"}, false},
	"429 without a code":    {awslocal.Fault{Kind: awslocal.HTML, Status: 429}, false},
	"HTML 502":              {awslocal.Fault{Kind: awslocal.HTML}, false},
	"HTML 404":              {awslocal.Fault{Kind: awslocal.HTML, Status: 404}, false},
	"reset":                 {awslocal.Fault{Kind: awslocal.Reset}, false},
	"hang":                  {awslocal.Fault{Kind: awslocal.Hang}, false},
	"hang, processed":       {awslocal.Fault{Kind: awslocal.Hang, Processed: true}, true},
	"slow beyond the limit": {awslocal.Fault{Kind: awslocal.Slow, Delay: time.Minute}, false},
	"trickle for ever":      {awslocal.Fault{Kind: awslocal.Trickle, Delay: 100 * time.Millisecond}, true},
	"lost answer":           {awslocal.Fault{Kind: awslocal.LostAnswer}, true},
	"cut answer":            {awslocal.Fault{Kind: awslocal.CutAnswer}, true},
	"stale":                 {awslocal.Fault{Kind: awslocal.Stale}, false},
	"closed after":          {awslocal.Fault{Kind: awslocal.CloseAfter}, false},
	"expired token":         {awslocal.Fault{Kind: awslocal.ExpiredToken}, false},
	"aborted":               {awslocal.Fault{Kind: awslocal.Error, Status: 400, Code: "RequestAbortedException"}, false},
}

// timeout is one for calls that is short where calls are to meet it, and on a
// busy machine too long for the others to meet.
func timeout(f awslocal.Fault) string {
	switch f.Kind {
	case awslocal.Hang, awslocal.Slow, awslocal.Trickle:
		return "1s"
	}
	return "20s"
}

// TestPassingFaults sends again within the flush. What was lost is the answer, so
// its events are there twice; no others are.
func TestPassingFaults(t *testing.T) {
	t.Parallel()
	for name, tt := range passing {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, awslocal.Config{}, logKey, "log", "http_request_timeout", timeout(tt.fault))
			r.srv.Logs().CreateStream("g", "s")
			r.flush(delivery.OK, numbered(0, 10)) // a kept connection, and credentials
			r.srv.Script("PutLogEvents", tt.fault)
			r.flush(delivery.OK, numbered(10, 20))
			r.flush(delivery.OK, numbered(20, 30))
			var twice []int
			if tt.twice {
				for i := 10; i < 20; i++ {
					twice = append(twice, i)
				}
			}
			r.wantOnce("g", "s", 0, 30, twice...)
			r.account(30, 30, 0)
			r.log.NoErrors(t)
			if tt.fault.Kind == awslocal.Throttle || tt.fault.Status == 429 {
				r.wantCount(delivery.Throttled, 1)
				r.wantCount(delivery.Failed, 0)
				r.wantCount(delivery.Resent, 10)
			}
		})
	}
}

// TestRequestsCounted: each request counts, also one that its kept connection cut
// short, so that it surely did nothing and is made again at once.
func TestRequestsCounted(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "auto_create_group", "true")
	r.flush(delivery.OK, numbered(0, 10))
	made := r.count("PutLogEvents") + r.count("CreateLogStream") + r.count("CreateLogGroup")
	r.wantCount(delivery.Requests, made)
	puts := r.count("PutLogEvents")
	r.srv.Script("PutLogEvents", awslocal.Fault{Kind: awslocal.Reset})
	var large []record
	for range 10 { // as \u0001 more than the kernel holds for two sockets
		large = append(large, record{0, line(strings.Repeat("\x01", 100_000))})
	}
	r.flush(delivery.OK, chunkOf(large...))
	r.wantCalls("PutLogEvents", puts+2)
	r.wantCount(delivery.Requests, made+2)
}

// TestLastingFaults spends the budget and no more, and has Fluent Bit bring the
// chunk again. Then what is missing of it is sent, and that once.
func TestLastingFaults(t *testing.T) {
	t.Parallel()
	for name, tt := range passing {
		switch tt.fault.Kind { // those after which a call succeeds, and one that is noted late
		case awslocal.CloseAfter, awslocal.Stale, awslocal.Slow:
			continue
		}
		if tt.twice {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, awslocal.Config{}, logKey, "log", "log_stream_name", "$(stream)", "http_request_timeout", timeout(tt.fault), "retry_budget", "1s")
			var c []byte
			for i := range 30 {
				c = appendRecord(c, now, map[string]any{"stream": fmt.Sprint("s", i%3), "log": message(i)})
			}
			for i := range 3 {
				r.srv.Logs().CreateStream("g", fmt.Sprint("s", i))
			}
			fault := tt.fault
			fault.Target = "s1"
			r.srv.SetFaults("PutLogEvents", always(fault))
			began := time.Now()
			r.flush(delivery.Retry, c)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			r.account(30, 20, 10)
			if n := r.srv.Counts("PutLogEvents").Requests; n < 3 || n > 12 {
				t.Errorf("%d calls were made", n)
			}
			r.log.Want(t, "error", `cannot send events to log group "g", stream "s1", and has fluent bit bring them again: `)

			r.srv.ClearFaults()
			before := r.count("PutLogEvents")
			r.flush(delivery.OK, c)
			if n := r.count("PutLogEvents") - before; n != 1 {
				t.Errorf("%d calls were made for what was left", n)
			}
			for i := range 3 {
				for k, m := range r.messages("g", fmt.Sprint("s", i)) {
					if m != message(k*3+i) {
						t.Errorf("stream %d has %q at %d", i, m, k)
					}
				}
			}
			r.wantCount(delivery.Skipped, 20)
			r.wantCount(delivery.Retries, 1)
			r.account(30, 30, 0)
			r.log.Want(t, "info", `events reach log group "g", stream "s1" again`)
		})
	}
}

// TestRetryAfter waits for as long as the service asks.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log")
	r.srv.Logs().CreateStream("g", "s")
	r.srv.Script("PutLogEvents", awslocal.Fault{Kind: awslocal.Error, Status: 503, Code: "ServiceUnavailable", RetryAfter: "1"})
	began := time.Now()
	r.flush(delivery.OK, numbered(0, 1))
	if took := time.Since(began); took < time.Second {
		t.Errorf("took %v", took)
	}
}

// TestEndpointDown has nothing listen for a while.
func TestEndpointDown(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "retry_budget", "200ms")
	r.srv.Logs().CreateStream("g", "s")
	r.flush(delivery.OK, numbered(0, 10))
	r.srv.Down()
	r.flush(delivery.Retry, numbered(10, 20))
	r.flush(delivery.Retry, numbered(10, 20))
	r.account(20, 10, 10)
	if err := r.srv.Up(); err != nil {
		t.Fatal(err)
	}
	r.flush(delivery.OK, numbered(10, 20))
	r.wantOnce("g", "s", 0, 20)
	r.account(20, 20, 0)
}

// TestDeadEndpointWithManyStreams ends with the budget and the calls that are
// under way by then, however many streams there are.
func TestDeadEndpointWithManyStreams(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "log_stream_name", "$(log)", "retry_budget", "200ms", "http_request_timeout", "500ms", "concurrency", "2")
	r.srv.SetFaults("PutLogEvents", always(awslocal.Fault{Kind: awslocal.Hang}))
	began := time.Now()
	r.flush(delivery.Retry, numbered(0, 200))
	if took := time.Since(began); took > 10*time.Second { // 50 s if each were tried
		t.Errorf("took %v", took)
	}
	if n := r.count("PutLogEvents"); n > 8 {
		t.Errorf("%d calls were made", n)
	}
	if lines := r.log.Errors(); len(lines) != 1 {
		t.Errorf("got %q", lines)
	}
	r.account(200, 0, 200)
}

// TestOthersAreNotHeldUp has one stream be refused again and again: meanwhile the
// others get their events, though only one call goes at a time.
func TestOthersAreNotHeldUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "log_stream_name", "$(log)", "retry_budget", "1m", "concurrency", "1")
	for i := range 50 {
		r.srv.Logs().CreateStream("g", message(i))
	}
	r.srv.SetFaults("PutLogEvents", always(awslocal.Fault{Kind: awslocal.Error, Target: message(0)}))
	done := make(chan delivery.Result, 1)
	go func() { done <- r.Flush(delivery.Chunk{Tag: "tag", Data: numbered(0, 50)}) }()
	for i := 1; i < 50; i++ {
		for r.srv.Logs().Stream("g", message(i)).Len() == 0 {
			select {
			case result := <-done:
				t.Fatalf("%v before %s has its event", result, message(i))
			case <-time.After(time.Millisecond):
			}
		}
	}
	r.srv.ClearFaults()
	if got := <-done; got != delivery.OK {
		t.Errorf("got %v", got)
	}
	r.account(50, 50, 0)
}

// TestThrottledWorkers has the calls of all workers to one stream go slowly.
func TestThrottledWorkers(t *testing.T) {
	t.Parallel()
	const workers = 8
	r := newRig(t, awslocal.Config{}, logKey, "log", "retry_budget", "500ms")
	r.srv.Logs().CreateStream("g", "s")
	r.srv.SetFaults("PutLogEvents", always(awslocal.Fault{Kind: awslocal.Throttle}))
	recordstest.Parallel(workers, func(w int) { r.flushBeside(delivery.Retry, numbered(w*10, w*10+10)) })
	// Each of them alone would make some six calls in that time.
	if n := r.count("PutLogEvents"); n > 4*workers {
		t.Errorf("%d calls were made", n)
	}
	r.account(workers*10, 0, workers*10)
	r.srv.ClearFaults()
	r.Plugin.pace = delivery.Pace{} // as after some calm seconds
	r.targets = newTargets()
	recordstest.Parallel(workers, func(w int) { r.flushBeside(delivery.OK, numbered(w*10, w*10+10)) })
	r.wantOnce("g", "s", 0, workers*10)
	r.account(workers*10, workers*10, 0)
	r.log.Want(t, "warning", "CloudWatch Logs holds requests back")
}

// TestPaceOfOneStream holds one stream back, and no other.
func TestPaceOfOneStream(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "log_stream_name", "$(log)", "retry_budget", "0")
	for i := range 2 {
		r.srv.Logs().CreateStream("g", message(i))
	}
	for range 10 {
		r.targets.stream(target{"g", message(0)}).pace.Slower()
	}
	r.flush(delivery.Retry, numbered(0, 2))
	if got := r.messages("g", message(1)); len(got) != 1 {
		t.Errorf("got %q", got)
	}
	r.wantCalls("PutLogEvents", 1)
	r.account(2, 1, 1)
}

// THE LEDGER

// TestOnlyTheRestIsSentAgain has the second of three calls to a stream refused.
// The third one is left for the next flush too, which keeps the order.
func TestOnlyTheRestIsSentAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log")
	r.srv.Logs().CreateStream("g", "s")
	var c []byte
	for i := range 30_000 {
		c = appendRecord(c, now, line(message(i)))
	}
	r.srv.Script("PutLogEvents", awslocal.Fault{Kind: awslocal.None}, awslocal.Fault{Kind: awslocal.AccessDenied})
	r.flush(delivery.Retry, c)
	r.wantCalls("PutLogEvents", 2)
	r.account(30_000, 10_000, 20_000)
	r.flush(delivery.OK, c)
	r.wantCalls("PutLogEvents", 4)
	for i, m := range r.messages("g", "s") {
		if m != message(i) {
			t.Fatalf("%q is at place %d", m, i)
		}
	}
	r.wantCount(delivery.Skipped, 10_000)
	r.account(30_000, 30_000, 0)
}

// TestStreamIsLeftAlone makes one call to a stream that lets nobody write to it, where
// one may be under way, though more batches of it are filled long after that.
func TestStreamIsLeftAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "concurrency", "1")
	r.srv.Logs().CreateStream("g", "s")
	r.srv.SetFaults("PutLogEvents", always(awslocal.Fault{Kind: awslocal.AccessDenied}))
	r.flush(delivery.Retry, numbered(0, 100_000))
	r.wantCalls("PutLogEvents", 1)
	r.account(100_000, 0, 100_000)
}

// TestDroppedStaysDropped has records that were given up not be looked at again
// when their chunk comes again.
func TestDroppedStaysDropped(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log")
	r.srv.Logs().CreateStream("g", "s")
	c := chunkOf(record{0, line("")}, record{1, line("a")}, record{2, map[string]any{}})
	for range 3 {
		r.srv.Script("PutLogEvents", awslocal.Fault{Kind: awslocal.AccessDenied})
		r.flush(delivery.Retry, c)
		r.account(3, 0, 1, delivery.Empty, 1, delivery.MissingKey, 1)
	}
	r.flush(delivery.OK, c)
	r.account(3, 1, 0, delivery.Empty, 1, delivery.MissingKey, 1)
}

// CREDENTIALS

// TestExpiredCredentials renews them once, and goes on.
func TestExpiredCredentials(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "retry_budget", "10m")
	r.Close()
	r = newRigOn(t, r.srv, r.srv.URL, logKey, "log", "retry_budget", "10m", "credentials_endpoint", r.srv.CredentialsURI())
	r.flush(delivery.OK, numbered(0, 10))
	first := r.signer().AccessKeyID
	if !r.srv.STS().Expire(first) {
		t.Fatal("not expired")
	}
	recordstest.Parallel(4, func(w int) { r.flushBeside(delivery.OK, numbered(10+w*10, 20+w*10)) })
	if got := r.signer().AccessKeyID; got == first {
		t.Error("the credentials are the same")
	}
	r.wantCalls("ContainerCredentials", 2)
	r.wantOnce("g", "s", 0, 50)

	// Refused again and again, they are not renewed again and again.
	r.srv.SetFaults("PutLogEvents", always(awslocal.Fault{Kind: awslocal.ExpiredToken}))
	began := time.Now()
	r.flush(delivery.Retry, numbered(50, 60))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v of the budget", took)
	}
	if n := r.count("ContainerCredentials"); n > 3 {
		t.Errorf("credentials were asked for %d times", n)
	}
	r.account(60, 50, 10)
}

// TestAccessDenied does not spend the budget: it may be put right, but not by waiting.
func TestAccessDenied(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "log_stream_name", "$(log)", "retry_budget", "10m")
	r.srv.SetFaults("PutLogEvents", always(awslocal.Fault{Kind: awslocal.AccessDenied}))
	r.flush(delivery.Retry, numbered(0, 30))
	r.flush(delivery.Retry, numbered(0, 30))
	r.wantCalls("PutLogEvents", 60)
	if lines := r.log.All("AccessDeniedException"); len(lines) != 1 || !strings.HasPrefix(lines[0], "error cannot send events to log group") {
		t.Errorf("got %q", lines)
	}
	r.account(30, 0, 30)
	r.srv.ClearFaults()
	r.flush(delivery.OK, numbered(0, 30))
	r.log.Want(t, "info", " again (after failing 60 times)")
	r.account(30, 30, 0)
}

// TestOneStreamFailsForGood is not said to be over because others are well.
func TestOneStreamFailsForGood(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "log_stream_name", "$(log)")
	r.srv.SetFaults("PutLogEvents", always(awslocal.Fault{Kind: awslocal.AccessDenied, Target: message(0)}))
	for range 5 {
		r.flush(delivery.Retry, numbered(0, 10))
	}
	r.log.Want(t, "error", "stream \""+message(0)+"\"")
	r.log.None(t, "again (after")
	r.account(10, 9, 1)
}

// TestWalkWaits: the walk does not go past more full batches than may be under way,
// unless their calls take long: then other streams get theirs.
func TestWalkWaits(t *testing.T) {
	t.Parallel()
	const concurrency = 2
	r := newRig(t, awslocal.Config{}, logKey, "log", "log_stream_name", "$(kind)", "concurrency", fmt.Sprint(concurrency), "retry_budget", "5s", "http_request_timeout", "5s")
	r.srv.Logs().CreateStream("g", "stuck")
	r.srv.Logs().CreateStream("g", "well")
	r.srv.SetFaults("PutLogEvents", always(awslocal.Fault{Kind: awslocal.Hang, Target: "stuck"}))
	c := slices.Concat(sameMilli(0, (concurrency+1)*maxBatchEvents, "stuck"), sameMilli(0, maxBatchEvents+1, "well"))
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.flush(delivery.Retry, c)
	}()
	for r.count("PutLogEvents") == 0 {
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	for r.count("PutLogEvents") < 2 { // the first with what is for the other stream
		time.Sleep(time.Millisecond)
	}
	if waited := time.Since(began); waited < aheadAfter/2 {
		t.Errorf("the walk went on after %v", waited)
	}
	<-done
	if n := len(r.messages("g", "well")); n != maxBatchEvents+1 {
		t.Errorf("%d events for the other stream have arrived, want %d", n, maxBatchEvents+1)
	}
}

// sameMilli is a chunk of records first to last-1, all of one millisecond.
func sameMilli(first, last int, kind string) (c []byte) {
	for i := first; i < last; i++ {
		c = appendRecord(c, now, map[string]any{"log": message(i), "kind": kind})
	}
	return c
}

// REFUSED FOR WHAT IS IN IT

// TestOneBadEvent has the service refuse calls as a whole for one event that is
// larger than it takes: that one is lost, and the others are not.
func TestOneBadEvent(t *testing.T) {
	t.Parallel()
	const limit = 1000
	for _, bad := range [][]int{{0}, {299}, {150}, {0, 1, 2}, {17, 100, 200}} {
		r := newRig(t, awslocal.Config{MaxEventBytes: limit}, logKey, "log")
		r.srv.Logs().CreateStream("g", "s")
		var c []byte
		var want []string
		for i := range 300 {
			text := message(i)
			if slices.Contains(bad, i) {
				text = strings.Repeat("x", limit)
			} else {
				want = append(want, text)
			}
			c = appendRecord(c, now, line(text))
		}
		r.flush(delivery.OK, c)
		if got := r.messages("g", "s"); !slices.Equal(got, want) {
			t.Errorf("%v: %d messages arrived, want %d in their order", bad, len(got), len(want))
		}
		if n, most := r.count("PutLogEvents"), 1+2*9*len(bad); n > most {
			t.Errorf("%v: %d calls were made, want %d at most", bad, n, most)
		}
		r.account(300, 300-len(bad), 0, delivery.Refused, len(bad))
		r.log.Want(t, "warning", "CloudWatch Logs refuses 1 events", "Log event too large")
		r.log.NoErrors(t)
	}
}

// TestAllRefused has a bounded number of calls tell that it is not the events
// that are wrong.
func TestAllRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log")
	r.srv.SetFaults("PutLogEvents", always(awslocal.Fault{Kind: awslocal.Error, Status: 400, Code: "InvalidParameterException"}))
	r.flush(delivery.OK, numbered(0, 10_000))
	if n := r.count("PutLogEvents"); n > 100 {
		t.Errorf("%d calls were made", n)
	}
	r.account(10_000, 0, 0, delivery.Refused, 10_000)
}

// TestRefusedInPart has halves of a refused call meet a fault that lasts: what is
// settled of them is, and only the rest comes again, the stream's next batch included.
func TestRefusedInPart(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "concurrency", "1")
	r.srv.Logs().CreateStream("g", "s")
	r.srv.Script("PutLogEvents",
		awslocal.Fault{Kind: awslocal.Error, Status: 400, Code: "InvalidParameterException"}, // all
		awslocal.Fault{Kind: awslocal.None},                                                  // the first half
		awslocal.Fault{Kind: awslocal.AccessDenied})                                          // the second half
	r.flush(delivery.Retry, numbered(0, 10_010))
	r.wantCalls("PutLogEvents", 3)
	r.account(10_010, 5000, 5010)
	r.flush(delivery.OK, numbered(0, 10_010))
	r.wantCalls("PutLogEvents", 4)
	r.wantOnce("g", "s", 0, 10_010)
	r.account(10_010, 10_010, 0)
}

// TestTooLargeForAProxy parts a call that something on the way finds too large.
func TestTooLargeForAProxy(t *testing.T) {
	t.Parallel()
	const limit = 100_000
	got := 0
	var url string
	url, _ = scripted(t, func(_ string, _ int, body []byte, w http.ResponseWriter) {
		if len(body) > limit {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		var d decodedBatch
		if err := json.Unmarshal(body, &d); err != nil {
			t.Error(err)
		}
		got += len(d.Events)
		_, _ = w.Write([]byte("{}"))
	})
	r := newRigOn(t, nil, url, "concurrency", "1")
	r.flush(delivery.OK, kubernetesChunk(500))
	r.account(500, 500, 0)
	r.Close()
	if got != 500 {
		t.Errorf("%d events arrived", got)
	}
}

// THE HOST IS SAFE

// TestPanic has the client be broken while events are sent: Fluent Bit goes on,
// and so do the events once it is whole.
func TestPanic(t *testing.T) {
	t.Parallel()
	for _, streams := range []int{1, 10} {
		r := newRig(t, awslocal.Config{}, logKey, "log", "log_stream_name", "$(stream)", "concurrency", "2")
		var c []byte
		for i := range 50 {
			c = appendRecord(c, now, map[string]any{"stream": fmt.Sprint(i % streams), "log": message(i)})
		}
		whole := r.client
		r.client = nil
		r.flush(delivery.Retry, c)
		r.log.WantOne(t, "error a panic while sending a chunk of tag \"tag\"", "nil pointer")
		r.account(50, 0, 50)
		r.client = whole
		r.flush(delivery.OK, c)
		r.account(50, 50, 0)
	}
}

// WORKERS

// TestConcurrency bounds the calls that one flush makes at the same time, and
// makes use of what is allowed.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	for _, concurrency := range []int{1, 3} {
		var calls, makings peak
		var seen sync.Map
		made := func(body []byte) bool { // the stream, by the time of its second call
			_, second := seen.LoadOrStore(string(body), true)
			return second
		}
		url, _ := scripted(t, func(operation string, _ int, body []byte, w http.ResponseWriter) {
			p := &calls
			if operation == "CreateLogStream" {
				p = &makings
			}
			p.begin()
			// As many as are allowed come sooner or later, and any more would too.
			for end := time.Now().Add(2 * time.Second); int(p.most.Load()) < concurrency && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(5 * time.Millisecond)
			p.end()
			if operation == "PutLogEvents" && bytes.Contains(body, []byte("message 00001")) && !made(body) {
				refusal(w, 400, "ResourceNotFoundException")
				return
			}
			_, _ = w.Write([]byte("{}"))
		})
		r := newRigOn(t, nil, url, "log_stream_name", "$(log)", "concurrency", fmt.Sprint(concurrency))
		r.flush(delivery.OK, numbered(0, 30))
		if got := calls.most.Load(); int(got) != concurrency {
			t.Errorf("%d calls were made at the same time, want %d", got, concurrency)
		}
		if got := makings.most.Load(); int(got) != concurrency {
			t.Errorf("%d streams were made at the same time, want %d", got, concurrency)
		}
		r.account(30, 30, 0)
	}
}

// longLines is a chunk of one stream that fills several calls, four lines each, of
// which each is some milliseconds after the one before.
func longLines(calls, apart int) []byte {
	var c []byte
	for i := range 4 * calls {
		c = appendRecord(c, now.Add(time.Duration(i*apart)*time.Millisecond), map[string]any{"log": message(i) + strings.Repeat("x", 250_000)})
	}
	return c
}

// TestAnyOrder: a chunk has its calls to one stream side by side, as many as may be, if
// it has no order to keep or they have no millisecond in common; it is not read far
// ahead of them.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		anyOrder          bool
		apart             int
		concurrency, want int // calls at a time
		batches           int // that there are when the first call waits for its answer
	}{
		{true, 0, 3, 3, 4}, {true, 0, 1, 1, 2},
		{false, 0, 3, 1, 4}, {false, 1, 3, 3, 4}, {false, -1, 3, 3, 4}, {false, 1, 1, 1, 2},
	} {
		var calls peak
		var r *rig
		var began time.Time
		seen := make(chan struct{}) // how far the chunk was read when the first call waits
		url, count := scripted(t, func(operation string, n int, _ []byte, w http.ResponseWriter) {
			if operation == "PutLogEvents" {
				calls.begin()
				defer calls.end()
				for end := time.Now().Add(time.Second); int(calls.most.Load()) < c.want && time.Now().Before(end); {
					time.Sleep(time.Millisecond)
				}
				time.Sleep(20 * time.Millisecond)
				if n == 0 {
					in := r.Get(delivery.In)
					if time.Since(began) < aheadAfter && in > uint64(4*c.batches+1) {
						t.Errorf("%+v: %d records were read", c, in)
					}
					close(seen)
				}
				<-seen
			}
			_, _ = w.Write([]byte("{}"))
		})
		r = newRigOn(t, nil, url, logKey, "log", "concurrency", fmt.Sprint(c.concurrency))
		const n = 5
		data := longLines(n, c.apart)
		began = time.Now()
		if got := r.Flush(delivery.Chunk{Tag: "tag", Data: data, AnyOrder: c.anyOrder}); got != delivery.OK {
			t.Errorf("%+v: %v", c, got)
		}
		if got := calls.most.Load(); int(got) != c.want || count("PutLogEvents") != n {
			t.Errorf("%+v: %d of %d calls at a time", c, got, count("PutLogEvents"))
		}
		r.account(4*n, 4*n, 0)
	}
}

// TestAnyOrderGivesUp: what keeps a call back keeps back those of its stream that come
// after it, and the chunk is whole when it comes again.
func TestAnyOrderGivesUp(t *testing.T) {
	t.Parallel()
	const n = 4
	r := newRig(t, awslocal.Config{}, logKey, "log", "concurrency", "1")
	r.srv.Logs().CreateStream("g", "s")
	r.srv.Script("PutLogEvents", awslocal.Fault{Kind: awslocal.None}, awslocal.Fault{Kind: awslocal.AccessDenied})
	c := delivery.Chunk{Tag: "tag", Data: longLines(n, 0), AnyOrder: true}
	for _, want := range []delivery.Result{delivery.Retry, delivery.OK} {
		if got := r.Flush(c); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	if got := r.messages("g", "s"); len(got) != 4*n {
		t.Errorf("%d of %d events", len(got), 4*n)
	}
	r.account(4*n, 4*n, 0)

	f := r.Begin(delivery.Chunk{})
	s := r.newSender(f, delivery.Chunk{AnyOrder: true})
	at := target{"g", "s"}
	send := func() {
		b := s.newBatch(place{target: at})
		b.add([]byte(`{"timestamp":1,"message":"a"}`), event{millis: now.UnixMilli(), size: 27})
		s.start(b, func() {})
		s.wait.Wait()
	}
	r.srv.Script("PutLogEvents", awslocal.Fault{Kind: awslocal.AccessDenied})
	calls := r.count("PutLogEvents")
	send()
	if !s.lane(at).stopped.Load() || r.count("PutLogEvents") != calls+1 {
		t.Error("a stream goes on after a batch that was given up")
	}
	send()
	if r.count("PutLogEvents") != calls+1 {
		t.Error("a batch was sent after one that was given up")
	}
	f.End(nil)
}

// TestAnswersAreSeen: a call whose answer comes while batches are being filled ends
// then, and leaves its memory to the next one.
func TestAnswersAreSeen(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // else Go may see it in another thread
	url, _ := scripted(t, func(_ string, _ int, _ []byte, w http.ResponseWriter) { _, _ = w.Write([]byte("{}")) })
	r := newRigOn(t, nil, url, logKey, "log", "concurrency", "16")
	f := r.Begin(delivery.Chunk{})
	s := r.newSender(f, delivery.Chunk{AnyOrder: true})
	most := 0
	for i := range 40 {
		if i == 20 { // those before have made the connections
			s.wait.Wait()
			most = 0
		}
		b := s.batch(target{"g", "s"})
		b.add([]byte(`{"timestamp":1,"message":"a"}`), event{millis: now.UnixMilli(), size: 27})
		s.replace(b, nil)
		most = max(most, len(s.full))
	}
	s.wait.Wait()
	f.End(nil)
	if most > 4 {
		t.Errorf("%d calls at a time, where each is answered at once", most)
	}
}

// TestWorkers has 1 to 8 workers and two instances flush at the same time, with
// and without faults. Chunks come again as Fluent Bit brings them.
func TestWorkers(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 4, 8} {
		for _, faults := range []bool{false, true} {
			t.Run(fmt.Sprint(workers, faults), func(t *testing.T) {
				t.Parallel()
				srv := startServer(t, awslocal.Config{Seed: uint64(workers)})
				if faults {
					srv.SetFaults(awslocal.AnyOperation, []awslocal.Fault{
						{Kind: awslocal.Throttle, Probability: 0.05}, {Kind: awslocal.Error, Probability: 0.05},
						{Kind: awslocal.Reset, Probability: 0.03}, {Kind: awslocal.HTML, Probability: 0.03},
						{Kind: awslocal.CloseAfter, Probability: 0.1}, {Kind: awslocal.AccessDenied, Probability: 0.03},
					})
				}
				const chunks, size = 6, 60
				var rigs []*rig
				for i := range 2 {
					rigs = append(rigs, newRigOn(t, srv, srv.URL, logKey, "log", "log_group_name", fmt.Sprint("g", i), "log_stream_name", "$(stream)",
						"retry_budget", "2s", "concurrency", "3"))
				}
				recordstest.Parallel(2*workers, func(w int) {
					r, w := rigs[w%2], w/2
					rng := rand.New(rand.NewPCG(uint64(w), 1))
					for k := range chunks {
						var c []byte
						for i := range size {
							at := now.Add(-time.Duration(rng.IntN(100)) * time.Millisecond)
							c = appendRecord(c, at, map[string]any{"stream": fmt.Sprint(i % 4), "log": message((w*chunks+k)*size + i)})
						}
						for tries := 0; r.Flush(delivery.Chunk{Tag: "tag", Data: c, AnyOrder: workers > 1}) != delivery.OK; tries++ {
							if tries > 50 {
								t.Error("a chunk does not get through")
								return
							}
						}
					}
				})
				for i, r := range rigs {
					total := workers * chunks * size
					seen := make(map[string]int)
					for k := range 4 {
						for _, m := range r.messages(fmt.Sprint("g", i), fmt.Sprint(k)) {
							seen[m]++
						}
					}
					for k := range total {
						if n := seen[message(k)]; n != 1 {
							t.Fatalf("instance %d: %s arrived %d times", i, message(k), n)
						}
					}
					if r.Get(delivery.In) != uint64(total) || r.Get(delivery.Sent) != uint64(total) || r.Pending() != 0 || r.DroppedAll() != 0 {
						t.Errorf("instance %d: %v", i, r.Counters)
					}
				}
				if n := srv.LostRecords(); n != 0 {
					t.Errorf("%d records were in calls whose answer was lost", n)
				}
			})
		}
	}
}

// TestLateReader has a request time out while the service has not read all of
// it. The service reads on while the same body goes out again and the next chunk
// is written: it gets nothing but what was sent first.
func TestLateReader(t *testing.T) {
	t.Parallel()
	url, rest := lateReader(t)
	r := newRigOn(t, nil, url, logKey, "log", "http_request_timeout", "1s")
	first := chunkOf(record{0, line(strings.Repeat("a", 1_000_000))})
	r.flush(delivery.OK, first)
	r.flush(delivery.OK, chunkOf(record{0, line(strings.Repeat("b", 1_000_000))}))
	if late := rest(); bytes.ContainsAny(late, "b") || len(late) == 0 {
		t.Errorf("of the first request %d bytes arrived later, %d of them of another", len(late), bytes.Count(late, []byte("b")))
	}
	r.account(2, 2, 0)
}
