package cloudwatch

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/records/recordstest"
)

// TestCreateOnDemand makes group and stream in the flush that finds them missing.
func TestCreateOnDemand(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log",
		"new_log_group_tags", "team=web, env=", "log_group_class", "infrequent_access", "log_retention_days", "14")
	for i := range 3 {
		r.flush(delivery.OK, numbered(i*10, i*10+10))
	}
	g, ok := r.srv.Logs().Group("g")
	if !ok || g.Class != "INFREQUENT_ACCESS" || g.RetentionDays != 14 || !maps.Equal(g.Tags, map[string]string{"team": "web", "env": ""}) {
		t.Errorf("got %+v", g)
	}
	r.wantOnce("g", "s", 0, 30)
	r.wantCalls("CreateLogGroup", 1)
	r.wantCalls("PutRetentionPolicy", 1)
	r.wantCalls("CreateLogStream", 2) // the first one finds no group
	r.wantCalls("PutLogEvents", 4)    // the first one finds no stream
	r.wantCount(delivery.Failed, 0)   // that is no failure
	r.log.Want(t, "info", `created log group "g"`)
	r.log.NoErrors(t)
	r.account(30, 30, 0)
}

// TestPlainGroup leaves to the service what the options do not say.
func TestPlainGroup(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{})
	r.flush(delivery.OK, numbered(0, 1))
	g, _ := r.srv.Logs().Group("g")
	if g.Class != "STANDARD" || g.RetentionDays != 0 || len(g.Tags) != 0 {
		t.Errorf("got %+v", g)
	}
	r.wantCalls("PutRetentionPolicy", 0)
}

// TestGroupExists leaves it as it is, save for its retention if that is asked for.
func TestGroupExists(t *testing.T) {
	t.Parallel()
	for autoCreate, want := range map[string]int{"on": 30, "off": 0} {
		r := newRig(t, awslocal.Config{}, logKey, "log", "auto_create_group", autoCreate, "log_retention_days", "30", "new_log_group_tags", "a=b", "log_group_class", "delivery")
		r.srv.Logs().CreateGroup("g")
		r.flush(delivery.OK, numbered(0, 10))
		r.flush(delivery.OK, numbered(10, 20))
		g, _ := r.srv.Logs().Group("g")
		if g.RetentionDays != want || g.Class != "STANDARD" || len(g.Tags) != 0 {
			t.Errorf("auto_create_group %s: got %+v", autoCreate, g)
		}
		r.wantCalls("CreateLogGroup", 0)
		r.wantCalls("PutRetentionPolicy", want/30)
		r.wantOnce("g", "s", 0, 20)
	}
}

// TestRetentionFails has it not hold up the events, and be tried again after a
// minute, be it for a new group or for one that was there before.
func TestRetentionFails(t *testing.T) {
	t.Parallel()
	for _, exists := range []bool{false, true} {
		for _, fault := range []awslocal.Fault{
			{Kind: awslocal.AccessDenied}, {Kind: awslocal.Throttle}, {Kind: awslocal.HTML},
			{Kind: awslocal.Error, Status: 400, Code: "OperationAbortedException"},
			{Kind: awslocal.Error, Status: 400, Code: "InvalidParameterException"},
		} {
			t.Run(fmt.Sprint(exists, fault.Kind, fault.Code), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, awslocal.Config{}, logKey, "log", "log_retention_days", "30")
				if exists {
					r.srv.Logs().CreateStream("g", "s")
				}
				r.srv.Script("PutRetentionPolicy", fault, fault)
				tried := func(n int) {
					t.Helper()
					r.wantCalls("PutRetentionPolicy", n)
					r.targets.group("g").tried = time.Now().Add(-settleAgain) // no flush is under way
				}
				r.flush(delivery.OK, numbered(0, 10))
				r.flush(delivery.OK, numbered(10, 20))
				tried(1)
				r.flush(delivery.OK, numbered(20, 30))
				r.flush(delivery.OK, numbered(30, 40))
				tried(2)
				r.flush(delivery.OK, numbered(40, 50))
				tried(3)
				r.flush(delivery.OK, numbered(50, 60))
				tried(3)
				if g, _ := r.srv.Logs().Group("g"); g.RetentionDays != 30 {
					t.Errorf("the retention is %d", g.RetentionDays)
				}
				r.wantOnce("g", "s", 0, 60)
				r.log.Want(t, "warning", `cannot set the retention of log group "g" to 30 days, and tries again in a minute`)
				r.log.NoErrors(t)
				r.account(60, 60, 0)
			})
		}
	}
}

// TestSwitchedOff asks Fluent Bit to bring the chunk again without spending the
// budget, and says once what it would need. When somebody makes what is missing,
// the events arrive.
func TestSwitchedOff(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, option   string
		opts           []string
		groupThere     bool
		streams, group int // calls made
	}{
		{"group", "auto_create_group", []string{"auto_create_group", "off"}, false, 1, 0},
		{"stream", "auto_create_stream", []string{"auto_create_stream", "off"}, true, 0, 0},
		{"group for a stream that must not be made", "auto_create_stream", []string{"auto_create_stream", "off"}, false, 0, 0},
		{"both", "auto_create_stream", []string{"auto_create_stream", "off", "auto_create_group", "off"}, false, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, awslocal.Config{}, append([]string{logKey, "log", "retry_budget", "10m"}, tt.opts...)...)
			if tt.groupThere {
				r.srv.Logs().CreateGroup("g")
			}
			c := numbered(0, 10)
			r.flush(delivery.Retry, c)
			r.wantCalls("CreateLogStream", tt.streams)
			r.wantCalls("CreateLogGroup", tt.group)
			for range 4 {
				r.flush(delivery.Retry, c)
			}
			r.wantCalls("PutLogEvents", 5)
			what := "stream"
			if !tt.groupThere {
				what = "group"
			}
			r.log.Want(t, "error", `cannot send events to log group "g", stream "s"`, "The specified log "+what+" does not exist.", "and option "+tt.option+" is off")
			r.account(10, 0, 10)
			r.srv.Logs().CreateStream("g", "s")
			r.flush(delivery.OK, c)
			r.wantOnce("g", "s", 0, 10)
			r.log.Want(t, "info", `events reach log group "g", stream "s" again (after failing 5 times)`)
			r.account(10, 10, 0)
		})
	}
}

// TestDeletedFromOutside makes what is gone again, with all that belongs to it,
// and sends the events in the same flush.
func TestDeletedFromOutside(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "log_retention_days", "7", "new_log_group_tags", "a=b")
	r.flush(delivery.OK, numbered(0, 10))
	r.srv.Logs().DeleteStream("g", "s")
	r.flush(delivery.OK, numbered(10, 20))
	r.wantOnce("g", "s", 10, 20)
	r.wantCalls("CreateLogGroup", 1)
	for i := range 3 {
		r.srv.Logs().DeleteGroup("g")
		r.flush(delivery.OK, numbered(20, 30))
		r.wantOnce("g", "s", 20, 30)
		g, _ := r.srv.Logs().Group("g")
		if g.RetentionDays != 7 || g.Tags["a"] != "b" {
			t.Errorf("got %+v", g)
		}
		r.wantCalls("CreateLogGroup", 2+i)
		r.wantCalls("PutRetentionPolicy", 2+i)
	}
	r.account(50, 50, 0)
}

// TestRetentionOfRemadeGroup fails once, for a group that had it before.
func TestRetentionOfRemadeGroup(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "log_retention_days", "7")
	r.flush(delivery.OK, numbered(0, 1))
	r.srv.Logs().DeleteGroup("g")
	r.srv.Script("PutRetentionPolicy", awslocal.Fault{Kind: awslocal.AccessDenied})
	r.flush(delivery.OK, numbered(1, 2))
	r.targets.group("g").tried = time.Now().Add(-settleAgain)
	r.flush(delivery.OK, numbered(2, 3))
	if g, _ := r.srv.Logs().Group("g"); g.RetentionDays != 7 {
		t.Errorf("got %+v", g)
	}
}

// TestCreateRace has many workers find the same stream, and many streams the
// same group, missing at the same time: it is made once.
func TestCreateRace(t *testing.T) {
	t.Parallel()
	const workers, rounds = 8, 5
	r := newRig(t, awslocal.Config{Latency: time.Millisecond}, logKey, "log", "log_retention_days", "7", "log_stream_name", "$(stream)")
	var records []int
	for i := range rounds {
		group := fmt.Sprint("g", i)
		r.config.names, r.Plugin.names = nameConfig{}, nil
		p, log, err := open(r.srv.URL, logKey, "log", "log_retention_days", "7", "log_stream_name", "$(stream)", "log_group_name", group)
		if err != nil {
			t.Fatal(err)
		}
		round := &rig{Plugin: p, t: t, srv: r.srv, log: log}
		recordstest.Parallel(workers, func(w int) {
			var c []byte
			for k := range 10 {
				c = appendRecord(c, now, map[string]any{"stream": fmt.Sprint("s", k%5), "log": message(w*10 + k)})
			}
			round.flushBeside(delivery.OK, c)
		})
		records = append(records, round.srv.Logs().Total())
		p.Close()
		for k := range 5 {
			if n := r.srv.Logs().Stream(group, fmt.Sprint("s", k)).Len(); n != workers*2 {
				t.Errorf("%s stream %d has %d events", group, k, n)
			}
		}
		log.NoErrors(t)
	}
	if got := records[rounds-1]; got != workers*10*rounds {
		t.Errorf("%d events arrived", got)
	}
	r.wantCalls("CreateLogGroup", rounds)
	r.wantCalls("PutRetentionPolicy", rounds)
	// Five streams of a group may each find it missing before it is made.
	if n := r.count("CreateLogStream"); n > rounds*10 {
		t.Errorf("CreateLogStream was called %d times for %d streams", n, rounds*5)
	}
}

// TestAlreadyExists takes what another shipper has made in the meantime.
func TestAlreadyExists(t *testing.T) {
	t.Parallel()
	var url string
	url, calls := scripted(t, func(operation string, n int, _ []byte, w http.ResponseWriter) {
		switch {
		case operation == "PutLogEvents" && n == 0:
			refusal(w, 400, "ResourceNotFoundException")
		case operation == "CreateLogStream" && n == 0:
			refusal(w, 400, "ResourceNotFoundException")
		case operation == "CreateLogStream" || operation == "CreateLogGroup":
			refusal(w, 400, "ResourceAlreadyExistsException")
		default:
			_, _ = w.Write([]byte("{}"))
		}
	})
	r := newRigOn(t, nil, url, "log_retention_days", "7")
	r.flush(delivery.OK, numbered(0, 5))
	for operation, want := range map[string]int{"PutLogEvents": 2, "CreateLogStream": 2, "CreateLogGroup": 1, "PutRetentionPolicy": 1} {
		if got := calls(operation); got != want {
			t.Errorf("%s was called %d times, want %d", operation, got, want)
		}
	}
	r.log.None(t, "created")
	r.log.None(t, "is made again")
	r.wantCount(delivery.Failed, 0)
	r.account(5, 5, 0)
}

// TestCreateFails has the events wait for what keeps group or stream from being
// made: nothing of it is their fault.
func TestCreateFails(t *testing.T) {
	t.Parallel()
	tests := []struct {
		code   string
		status int
		result delivery.Result
		most   int // calls of the operation
	}{
		{"AccessDeniedException", 400, delivery.Retry, 1},
		{"LimitExceededException", 400, delivery.Retry, 1},
		{"InvalidParameterException", 400, delivery.Retry, 1},
		{"OperationAbortedException", 400, delivery.OK, 2},
		{"ServiceUnavailableException", 500, delivery.OK, 2},
		{"ThrottlingException", 400, delivery.OK, 2},
		{"ExpiredTokenException", 400, delivery.OK, 2},
	}
	for _, operation := range []string{"CreateLogStream", "CreateLogGroup"} {
		for _, tt := range tests {
			if tt.code == "LimitExceededException" && operation == "CreateLogStream" {
				continue
			}
			t.Run(operation+" "+tt.code, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, awslocal.Config{}, logKey, "log", "retry_budget", "5s")
				if operation == "CreateLogStream" {
					r.srv.Logs().CreateGroup("g")
				}
				r.srv.Script(operation, awslocal.Fault{Kind: awslocal.Error, Status: tt.status, Code: tt.code})
				c := numbered(0, 10)
				r.flush(tt.result, c)
				if tt.result == delivery.Retry {
					r.account(10, 0, 10)
					r.log.Want(t, "error", "cannot send events", "cannot create the log ", tt.code)
					r.wantCalls(operation, 1)
					r.flush(delivery.OK, c)
				}
				r.wantCalls(operation, 2)
				r.wantOnce("g", "s", 0, 10)
				r.account(10, 10, 0)
				if tt.code == "ThrottlingException" {
					r.wantCount(delivery.Throttled, 1)
				} else {
					r.wantCount(delivery.Failed, 1)
				}
			})
		}
	}
}

// TestCreatedButNotYetThere has the service not know for a while what it has
// made: that is asked for again, first at once and then with pauses.
func TestCreatedButNotYetThere(t *testing.T) {
	t.Parallel()
	for _, missing := range []int{2, 5} {
		url, calls := scripted(t, func(operation string, n int, _ []byte, w http.ResponseWriter) {
			switch {
			case operation == "PutLogEvents" && n < missing:
				refusal(w, 400, "ResourceNotFoundException")
			case operation == "CreateLogStream" && n > 0:
				refusal(w, 400, "ResourceAlreadyExistsException")
			default:
				_, _ = w.Write([]byte("{}"))
			}
		})
		r := newRigOn(t, nil, url)
		r.flush(delivery.OK, numbered(0, 5))
		if got := calls("PutLogEvents"); got != missing+1 {
			t.Errorf("PutLogEvents was called %d times, want %d", got, missing+1)
		}
		r.account(5, 5, 0)
	}
}

// TestNeverThere has a service that says so for ever be asked a bounded number of times.
func TestNeverThere(t *testing.T) {
	t.Parallel()
	url, calls := scripted(t, func(operation string, _ int, _ []byte, w http.ResponseWriter) {
		if operation == "PutLogEvents" {
			refusal(w, 400, "ResourceNotFoundException")
			return
		}
		refusal(w, 400, "ResourceAlreadyExistsException")
	})
	r := newRigOn(t, nil, url, "retry_budget", "300ms")
	r.flush(delivery.Retry, numbered(0, 5))
	if got := calls("PutLogEvents"); got > 12 {
		t.Errorf("PutLogEvents was called %d times", got)
	}
	r.log.Want(t, "error", "cannot send events")
	r.account(5, 0, 5)
}

// TestMakingIsWaitedFor has a flush not send to a stream that another one is
// about to make.
func TestMakingIsWaitedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log")
	st := r.targets.stream(target{"g", "s"})
	if !st.making.open() {
		t.Fatal("the stream is being made")
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		r.flush(delivery.OK, numbered(0, 1))
	}()
	time.Sleep(50 * time.Millisecond)
	r.wantCalls("PutLogEvents", 0)
	r.srv.Logs().CreateStream("g", "s")
	st.making.leave()
	<-done
	r.wantCalls("PutLogEvents", 1)
	r.account(1, 1, 0)
}

// TestThrottledMaking slows down the making of streams, and not the events of
// those that are there.
func TestThrottledMaking(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "log_stream_name", "$(stream)", "retry_budget", "1500ms")
	r.srv.Logs().CreateStream("g", "there")
	r.srv.SetFaults("CreateLogStream", always(awslocal.Fault{Kind: awslocal.Throttle}))
	var c []byte
	for i := range 20 {
		c = appendRecord(c, now, map[string]any{"stream": fmt.Sprint("new", i), "log": message(i)})
	}
	c = appendRecord(c, now, map[string]any{"stream": "there", "log": "x"})
	r.flush(delivery.Retry, c)
	if !r.Plugin.pace.Wait(time.Now(), nil) {
		t.Error("the events of all streams were slowed down")
	}
	if r.making.Wait(time.Now(), nil) {
		t.Error("the making of streams was not slowed down")
	}
	if n := r.count("CreateLogStream"); n > 40 { // some 100 at full speed
		t.Errorf("CreateLogStream was called %d times", n)
	}
	r.account(21, 1, 20)
	r.srv.ClearFaults()
	r.making = delivery.Pace{} // as after some calm seconds
	for tries := 1; r.Flush(delivery.Chunk{Tag: "tag", Data: c}) != delivery.OK; tries++ {
		if tries == 20 { // on a busy machine the budget may not do for all of them
			t.Fatalf("the chunk does not get through; log:\n%s", strings.Join(r.log.All(), "\n"))
		}
	}
	if n := len(r.srv.Logs().Streams()); n != 21 {
		t.Errorf("there are %d streams", n)
	}
	r.account(21, 21, 0)
}

// TestMakingIsWaitedForOnlySoLong hangs CreateLogStream while several workers
// need it.
func TestMakingIsWaitedForOnlySoLong(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "retry_budget", "100ms", "http_request_timeout", "1s")
	r.srv.Logs().CreateGroup("g")
	r.srv.SetFaults("CreateLogStream", always(awslocal.Fault{Kind: awslocal.Hang}))
	began := time.Now()
	recordstest.Parallel(8, func(w int) { r.flushBeside(delivery.Retry, numbered(w, w+1)) })
	// One after the other they would take 8 s and more.
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("took %v", took)
	}
	r.srv.Logs().CreateStream("g", "s")
	for w := range 8 {
		r.flush(delivery.OK, numbered(w, w+1))
	}
	r.wantOnce("g", "s", 0, 8)
	r.account(8, 8, 0)
}

// TestManyTargets sends a chunk of 500 streams in as many groups, and has what
// is known of them forgotten while other flushes use it.
func TestManyTargets(t *testing.T) {
	t.Parallel()
	n := 500
	if recordstest.Race {
		n = 100
	}
	r := newRig(t, awslocal.Config{}, logKey, "log", "log_group_name", "$(name)", "log_stream_name", "$(name)")
	for i := range n {
		r.srv.Logs().CreateStream(fmt.Sprint("n", i), fmt.Sprint("n", i))
	}
	chunk := func(round int) (c []byte) {
		for k := range 2 {
			for i := range n {
				c = appendRecord(c, now, map[string]any{"name": fmt.Sprint("n", i), "log": message(round*2 + k)})
			}
		}
		return c
	}
	stop := make(chan bool)
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			r.targets.mu.Lock()
			clear(r.targets.streams)
			clear(r.targets.groups)
			r.targets.mu.Unlock()
			time.Sleep(time.Millisecond / 10)
		}
	})
	recordstest.Parallel(2, func(w int) { r.flushBeside(delivery.OK, chunk(w)) })
	close(stop)
	wait.Wait()
	for i := range n {
		r.wantOnce(fmt.Sprint("n", i), fmt.Sprint("n", i), 0, 4)
	}
	r.wantCalls("PutLogEvents", 2*n)
	r.account(4*n, 4*n, 0)
}

// TestTargetsAreBounded forgets all when there are too many.
func TestTargetsAreBounded(t *testing.T) {
	ts := newTargets()
	first := ts.stream(target{"g", "0"})
	if ts.stream(target{"g", "0"}) != first {
		t.Error("a stream is not known again")
	}
	group := ts.group("0")
	if ts.group("0") != group {
		t.Error("a group is not known again")
	}
	ts.stream(target{"g", "1"})
	ts.group("1")
	if ts.stream(target{"g", "0"}) != first || ts.group("0") != group {
		t.Error("they are forgotten for others, of which there are few")
	}
	for i := range maxTargets + 5 {
		ts.stream(target{"g", fmt.Sprint(i)})
		ts.group(fmt.Sprint(i))
		if len(ts.streams) > maxTargets || len(ts.groups) > maxTargets {
			t.Fatalf("%d streams and %d groups are remembered", len(ts.streams), len(ts.groups))
		}
	}
	if ts.stream(target{"g", "0"}) == first || ts.group("0") == group {
		t.Error("nothing was forgotten")
	}
}

func TestGate(t *testing.T) {
	g := newGate()
	if !g.open() || g.open() || g.enter(time.Now().Add(time.Millisecond)) {
		t.Error("an open gate is closed, or a closed one open")
	}
	in := make(chan bool)
	go func() { in <- g.enter(time.Now().Add(time.Minute)) }()
	g.leave()
	if !<-in || g.open() {
		t.Error("who waited did not get in")
	}
}

// TestFluentBitEnds has flushes wait for a hanging call, for the making of a
// stream and for its turn, when Fluent Bit is told to end.
func TestFluentBitEnds(t *testing.T) {
	t.Parallel()
	for _, tokens := range []bool{false, true} {
		for _, operation := range []string{"PutLogEvents", "CreateLogStream"} {
			t.Run(fmt.Sprint(operation, tokens), func(t *testing.T) {
				t.Parallel()
				srv := startServer(t, awslocal.Config{SequenceTokens: tokens})
				var ending atomic.Bool
				p, err := New(delivery.Env{Name: "cloudwatch.0", Ending: ending.Load}, optionsOf(map[string]string{"region": "us-east-1", "endpoint": srv.URL,
					"log_group_name": "g", "log_stream_name": "s", "auto_create_group": "on", "retry_budget": "5m", "http_request_timeout": "5m"}))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(p.Close)
				for i := range 2 {
					if got := p.Flush(delivery.Chunk{Tag: "tag", Data: numbered(i, i+1)}); got != delivery.OK {
						t.Fatalf("got %v", got)
					}
				}
				srv.Logs().DeleteStream("g", "s")
				srv.SetFaults(operation, always(awslocal.Fault{Kind: awslocal.Hang}))
				time.AfterFunc(50*time.Millisecond, func() { ending.Store(true) })
				began := time.Now()
				recordstest.Parallel(4, func(w int) {
					if got := p.Flush(delivery.Chunk{Tag: "tag", Data: numbered(w+2, w+3)}); got != delivery.Retry {
						t.Errorf("got %v", got)
					}
				})
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("took %v", took)
				}
			})
		}
	}
}

// TestExpect is about sequence tokens: an answer to a call that went out of turn
// may be older than what is known.
func TestExpect(t *testing.T) {
	st := &stream{}
	want := func(token string, inTurn bool) {
		t.Helper()
		if gotToken, gotTurn := st.sequence(); gotToken != token || gotTurn != inTurn {
			t.Errorf("got %q, %v, want %q, %v", gotToken, gotTurn, token, inTurn)
		}
	}
	want("", false)
	st.expect("1", false)
	want("1", true)
	st.expect("2", true)
	want("2", true)
	st.expect("1", false)
	want("2", true)
}
