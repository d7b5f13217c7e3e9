package delivery

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/options"
)

// letter is a dead letter as a reader sees it who knows the document alone.
type letter struct {
	Time, Output, Tag, Stream, Reason, Error string
	Group                                    string         `json:"log_group"`
	Record                                   map[string]any `json:"record"`
	Text                                     string         `json:"record_text"`
	Size                                     int            `json:"record_size"`
	Raw                                      []byte         `json:"raw"`
	RawSize                                  int            `json:"raw_size"`
}

func lettersOf(t testing.TB, text string) (all []letter) {
	t.Helper()
	for line := range strings.Lines(text) {
		var l letter
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&l); err != nil {
			t.Fatalf("%.200q: %v", line, err)
		}
		all = append(all, l)
	}
	return all
}

func lettersIn(t testing.TB, file string) []letter {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return lettersOf(t, string(text))
}

// openLetters returns a Delivery that keeps letters in a file.
func openLetters(t testing.TB, c ...string) (d *Delivery, got *lines, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "letters")
	d, got = open(t, "out.0", append(config{"dead_letter_file", file}, c...))
	return d, got, file
}

// TestHasLetters: who has none is through at once when its records are sent.
func TestHasLetters(t *testing.T) {
	keeps, _, _ := openLetters(t)
	none, _ := open(t, "out.0", nil)
	for _, tt := range []struct {
		d    *Delivery
		data string
		drop bool
		want bool
	}{
		{keeps, event(0), false, false},
		{keeps, event(0), true, true},
		{keeps, event(0) + "\x92\xc1", false, true},
		{none, event(0) + "\x92\xc1", true, false},
	} {
		f := tt.d.Begin(Chunk{Tag: "app", Data: []byte(tt.data)})
		broken := f.Walk(func(i int, _ *chunk.Event) {
			if tt.drop {
				f.DropRecord(Malformed, i)
			} else {
				f.Sent(1, at(i))
			}
		})
		if got := f.HasLetters(); got != tt.want {
			t.Errorf("%q, dropped %v: got %v", tt.data, tt.drop, got)
		}
		f.Finish(broken)
	}
}

// Every record that is given up has a letter, once, with what was known of it.
func TestLetters(t *testing.T) {
	d, got, file := openLetters(t)
	deep := "\x92\x92\xd7\x00\x00\x00\x00\x01\x00\x00\x00\x00\x80\x81\xa1k" + strings.Repeat("\x91", 200) + "\x01"
	data := event(0) + event(1) + noEvent + event(3) + deep + event(5) + event(6) + event(7) + event(8) + "\x92\xc1"
	c := Chunk{Tag: "app", Data: []byte(data)}
	round := 0
	flush := func() Result {
		f := d.Begin(c)
		f.Stream = "s"
		broken := f.Walk(func(i int, ev *chunk.Event) {
			switch i {
			case 0:
				f.Sent(1, at(i))
			case 1:
				f.NoLogKey(i, "log, msg")
			case 3:
				f.TooLarge(i, "max_event_size", 100)
			case 4:
				f.Malformed(i, errors.New("too deep"))
			case 5:
				panic("over a record")
			case 6:
				f.DropRecord(Empty, i)
			case 7: // in the second flush
				if round == 1 {
					f.GiveUp(Cause{Why: Refused, Text: "InvalidArgument: no", Group: "g", Stream: "s2"}, 1, at(i))
				}
			case 8:
				for k := range 2 {
					index, _ := f.Part(i, k, 2)
					f.GiveUp(Cause{Why: TooOld, Text: "left out"}, 1, at(index))
				}
			}
		})
		round++
		return f.Finish(broken)
	}
	if first, second := flush(), flush(); first != Retry || second != Error {
		t.Errorf("got %v and %v", first, second)
	}
	deepBody := []byte(deep[len(event(0))-4:])
	const at1 = "1970-01-01T00:00:01Z"
	record := func(i float64) map[string]any { return map[string]any{"k": i} }
	want := []letter{
		{Time: at1, Stream: "s", Reason: "missing_key", Error: `it has no key "log, msg", which option log_key names`, Record: record(1)},
		{Stream: "s", Reason: "malformed", Error: "cannot read record 2 at byte 34: not an array of two values", Raw: []byte(noEvent), RawSize: 4},
		{Time: at1, Stream: "s", Reason: "too_large", Error: "it is larger than option max_event_size", Record: record(3)},
		{Time: at1, Stream: "s", Reason: "malformed", Error: "too deep", Raw: deepBody, RawSize: len(deepBody)},
		{Time: at1, Stream: "s", Reason: "malformed", Error: "a panic over it", Record: record(5)},
		{Time: at1, Reason: "too_old", Error: "left out", Record: record(8)},
		{Time: at1, Group: "g", Stream: "s2", Reason: "refused", Error: "InvalidArgument: no", Record: record(7)},
		{Stream: "s", Reason: "broken_chunk", Raw: []byte("\x92\xc1"), RawSize: 2},
	}
	letters := lettersIn(t, file)
	for i := range max(len(want), len(letters)) {
		if i >= len(want) || i >= len(letters) {
			t.Fatalf("%d letters, want %d", len(letters), len(want))
		}
		want[i].Output, want[i].Tag = "out.0", "app"
		if i == len(want)-1 {
			if !strings.HasPrefix(letters[i].Error, "cannot read msgpack at byte") {
				t.Errorf("got %q", letters[i].Error)
			}
			letters[i].Error = ""
		}
		if g, w := fmt.Sprintf("%+v", letters[i]), fmt.Sprintf("%+v", want[i]); g != w {
			t.Errorf("letter %d:\ngot  %.400s\nwant %.400s", i, g, w)
		}
	}
	if d.Get(DeadLetters) != uint64(len(want)) || d.Get(LostLetters) != 0 {
		t.Errorf("the account: %v", d.Counters)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
	if line, ok := got.find("dead letter"); ok {
		t.Errorf("logged %q", line)
	}
	d.Close()
}

// giveUp flushes a chunk of n records and gives all of them up.
func giveUp(d *Delivery, n int) {
	f := d.Begin(Chunk{Tag: "app", Data: []byte(events(n))})
	_ = f.Walk(func(i int, _ *chunk.Event) { f.GiveUp(Cause{Why: Refused, Text: "no"}, 1, at(i)) })
	f.Finish(nil)
}

// Records that were made of a chunk, as those of metrics, are not there any more.
func TestLettersOfMadeRecords(t *testing.T) {
	d, _, file := openLetters(t)
	f := d.Begin(Chunk{Tag: "metrics", Data: []byte("not a chunk of records")})
	broken := f.WalkData([]byte(events(3)), func(i int, _ *chunk.Event) { f.GiveUp(Cause{Why: TooNew, Group: "g"}, 1, at(i)) })
	if got := f.Finish(broken); got != OK {
		t.Errorf("got %v", got)
	}
	for _, l := range lettersIn(t, file) {
		if l.Reason != "too_new" || l.Group != "g" || l.Tag != "metrics" || l.Record != nil {
			t.Errorf("got %+v", l)
		}
	}
	want(t, d, TooNew, 3, DeadLetters, 3)
}

// All of a chunk that is given up is kept, and its account is left alone.
func TestGiveUpChunk(t *testing.T) {
	d, _, file := openLetters(t)
	c := Chunk{Tag: "app", Data: []byte(event(0) + noEvent + event(2) + "\xc1")}
	d.GiveUpChunk(c, errors.New("a panic"))
	var got []string
	for _, l := range lettersIn(t, file) {
		got = append(got, fmt.Sprintf("%s %v %d", l.Reason, l.Record["k"], l.RawSize))
	}
	if !slices.Equal(got, []string{"abandoned 0 0", "abandoned <nil> 4", "abandoned 2 0", "broken_chunk <nil> 1"}) {
		t.Errorf("got %q", got)
	}
	want(t, d, In, 0, Abandoned, 0, DeadLetters, 4)
	none, _ := open(t, "out.0", nil)
	none.GiveUpChunk(c, errors.New("a panic"))
	want(t, none, DeadLetters, 0, LostLetters, 0)
}

// What is no record is quoted up to a bound.
func TestRawIsBounded(t *testing.T) {
	d, _, file := openLetters(t)
	f := d.Begin(Chunk{Tag: "app", Data: []byte("\xdb\x7f\xff\xff\xff" + strings.Repeat("x", 100_000))})
	if got := f.Finish(f.Walk(func(int, *chunk.Event) {})); got != Error {
		t.Errorf("got %v", got)
	}
	if l := lettersIn(t, file); len(l) != 1 || len(l[0].Raw) != maxRaw || l[0].RawSize != 100_005 {
		t.Errorf("got %d letters, %d bytes of %d", len(l), len(l[0].Raw), l[0].RawSize)
	}
}

// side is an output that takes some letters.
type side struct {
	t       testing.TB
	d       *Delivery
	take    func(n int) bool // by number, from 0
	n       int
	chunks  int
	got     []letter
	groups  []string
	longest int // letter
	closed  bool
}

func (s *side) Close() { s.closed = true; s.d.Close() }

func (s *side) Flush(c Chunk) Result {
	s.chunks++
	f := s.d.Begin(c)
	broken := f.Walk(func(i int, ev *chunk.Event) {
		take := s.take(s.n)
		s.n++
		if !take {
			if s.n%2 == 0 {
				f.GiveUp(Cause{Why: Refused}, 1, at(i))
			}
			return
		}
		body, _, err := msgp.ReadMapStrIntfBytes(ev.Body, nil)
		if err != nil || len(body) != 2 {
			s.t.Fatalf("%d keys, %v", len(body), err)
		}
		s.longest = max(s.longest, len(body["letter"].(string)))
		s.got = append(s.got, lettersOf(s.t, body["letter"].(string))...)
		s.groups = append(s.groups, body["log_group"].(string))
		f.Sent(1, at(i))
	})
	return f.Finish(broken)
}

func openSide(t testing.TB, d *Delivery, limit int, take func(int) bool) *side {
	t.Helper()
	log, _ := newLog()
	env := Env{Name: "out.0", Log: log, Quit: func() { t.Error("fluent bit is ended for letters") }}
	s := &side{t: t, take: take}
	err := d.OpenLetters(env, config(nil).get, LetterOutput{Group: "default-group", Bytes: limit, Open: func(env Env, get options.Getter) (Side, error) {
		s.d = New(env, options.New(get))
		return s, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What the stream does not take goes to the file.
func TestLetterStream(t *testing.T) {
	d, got, file := openLetters(t)
	s := openSide(t, d, 1<<20, func(n int) bool { return n%3 == 0 })
	f := d.Begin(Chunk{Tag: "app", Data: []byte(events(9))})
	_ = f.Walk(func(i int, _ *chunk.Event) {
		f.GiveUp(Cause{Why: Refused, Group: strings.Repeat("g", i%2)}, 1, at(i))
	})
	if result := f.Finish(nil); result != OK {
		t.Errorf("got %v", result)
	}
	var numbers []int
	for _, l := range s.got {
		numbers = append(numbers, int(l.Record["k"].(float64)))
	}
	for _, l := range lettersIn(t, file) {
		numbers = append(numbers, int(l.Record["k"].(float64)))
	}
	if !slices.Equal(numbers, []int{0, 3, 6, 1, 2, 4, 5, 7, 8}) || !slices.Equal(s.groups, []string{"default-group", "g", "default-group"}) {
		t.Errorf("got %v, groups %q", numbers, s.groups)
	}
	want(t, d, In, 9, Refused, 9, DeadLetters, 9, LostLetters, 0)
	if s.d.ledger.unsettled() != 0 || s.d.Pending() != 0 {
		t.Errorf("the stream's account: %v", s.d.Counters)
	}
	d.Close()
	if !s.closed {
		t.Error("it is not closed")
	}
	accounts := 0
	for _, line := range got.take() {
		if strings.Contains(line, "account:") {
			accounts++
		}
	}
	if accounts != 1 {
		t.Errorf("%d accounts", accounts)
	}
}

// A stream that takes nothing is left alone for a while.
func TestLetterStreamRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := open(t, "out.0", nil)
		works := false
		s := openSide(t, d, 1<<20, func(int) bool { return works })
		for range 5 {
			giveUp(d, 4)
		}
		want(t, d, Refused, 20, DeadLetters, 0, LostLetters, 20)
		if s.chunks != 1 {
			t.Errorf("it was asked %d times", s.chunks)
		}
		works = true
		time.Sleep(sideRest)
		giveUp(d, 4)
		want(t, d, Refused, 24, DeadLetters, 4, LostLetters, 20)
	})
}

// A stream that panics costs letters and nothing else.
func TestLetterStreamPanics(t *testing.T) {
	d, got := open(t, "out.0", nil)
	openSide(t, d, 1<<20, nil)
	d.letters.side = panics{}
	giveUp(d, 4)
	want(t, d, Refused, 4, DeadLetters, 0)
	if _, ok := got.find("a panic over dead letters of a chunk of tag \"app\""); !ok {
		t.Errorf("logged %q", got.take())
	}
}

type panics struct{}

func (panics) Flush(Chunk) Result { panic("in the stream") }
func (panics) Close()             {}

// A letter is no larger than the stream takes: then it has the beginning of its
// record as text. Many go in several pieces.
func TestLargeLetters(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	const limit = 100_000
	s := openSide(t, d, limit, func(int) bool { return true })
	quotes := strings.Repeat(`"`, 80_000)
	large := event(0)[:14] + "\xa1k\xdb\x00\x01\x38\x80" + quotes
	var data strings.Builder
	for range 13 {
		data.WriteString(large)
	}
	f := d.Begin(Chunk{Tag: "app", Data: []byte(data.String() + event(1))})
	_ = f.Walk(func(i int, _ *chunk.Event) { f.GiveUp(Cause{Why: TooLarge, Text: "max_event_size"}, 1, at(i)) })
	f.Finish(nil)
	if len(s.got) != 14 || s.chunks < 2 {
		t.Fatalf("%d letters in %d chunks", len(s.got), s.chunks)
	}
	whole := `{"k":"` + strings.ReplaceAll(quotes, `"`, `\"`) + `"}`
	for _, l := range s.got[:13] {
		again, err := json.Marshal(l)
		if !strings.HasPrefix(whole, l.Text) || len(l.Text) < limit/3 || l.Size != len(whole) || len(again) > limit+1000 || err != nil {
			t.Fatalf("%d bytes of text, of %d, want some of %d", len(l.Text), l.Size, len(whole))
		}
	}
	if s.got[13].Record["k"] != 1.0 {
		t.Errorf("got %+v", s.got[13])
	}
}

// A letter that has just its room goes whole.
func TestLetterFills(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	const limit = 2000
	s := openSide(t, d, limit, func(int) bool { return true })
	for n := 1600; n < limit; n++ {
		f := d.Begin(Chunk{Tag: "app", Data: []byte(event(0)[:14] + "\xa1k\xda" + string([]byte{byte(n >> 8), byte(n)}) + strings.Repeat("x", n))})
		_ = f.Walk(func(i int, _ *chunk.Event) { f.GiveUp(Cause{Why: Refused}, 1, at(i)) })
		f.Finish(nil)
	}
	if s.longest != limit {
		t.Errorf("the longest letter has %d bytes, which may have %d", s.longest, limit)
	}
}

// Letters come in the order of their records, whenever these were given up, and in
// pieces that a file takes.
func TestLettersInOrder(t *testing.T) {
	d, _, file := openLetters(t)
	d.letters.file.max = 2000
	f := d.Begin(Chunk{Tag: "app", Data: []byte(events(20))})
	_ = f.Walk(func(int, *chunk.Event) {})
	for i := range 20 {
		f.GiveUp(Cause{Why: Refused}, 1, at(19-i))
	}
	f.Finish(nil)
	want(t, d, DeadLetters, 20, LostLetters, 0)
	last := -1.0
	for _, l := range lettersIn(t, file) {
		if n := l.Record["k"].(float64); n <= last {
			t.Errorf("record %v after %v", n, last)
		} else {
			last = n
		}
	}
	if last != 19 {
		t.Errorf("the last one is %v", last)
	}
}

// What nothing was settled of is lost, and that is said otherwise.
func TestLost(t *testing.T) {
	f := &Flush{counted: 66, settled: []uint64{1<<64 - 1}}
	if got := f.lost(); !slices.Equal(got, []int{64, 65}) {
		t.Errorf("got %v", got)
	}
	if got := (&Flush{counted: 2}).lost(); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("got %v", got)
	}
	var list []int
	for lost, want := range map[*[]int]string{nil: "bring them again", &list: "gives them up"} {
		if got := (&Flush{chunk: Chunk{Lost: lost}}).Then(); !strings.Contains(got, want) {
			t.Errorf("got %q", got)
		}
	}
}

// The options are the output's own, save what would make records of another form.
func TestLetterOptions(t *testing.T) {
	d, _ := open(t, "out.0", config{"retry_budget", "1s"})
	get := d.letterOptions(func(name string) string { return "own " + name }, map[string]string{"stream": "dead"})
	for name, want := range map[string]string{"region": "own region", "stream": "dead", "log_key": "letter", "too_big": "", "dead_letter_file": "",
		"dead_letter_stream": "", "retry_budget": "1s", "ledger_path": ""} {
		if got := get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	d, _ = open(t, "out.0", nil)
	if got := d.letterOptions(get, nil)("retry_budget"); got != "5s" {
		t.Errorf("got %q", got)
	}
}

func TestLetterEnv(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	log, got := newLog()
	env := d.letterEnv(Env{Log: log, Quit: func() {}})
	env.Log.Warn("something")
	if lines := got.take(); !slices.Equal(lines, []string{"warning dead letters: something"}) {
		t.Errorf("got %q", lines)
	}
	if env.Quit != nil {
		t.Error("it may end fluent bit")
	}
	if s := New(env, options.New(config(nil).get)); s.ending != d.ending {
		t.Error("it has time of its own when fluent bit ends")
	}
}

// An output for letters that cannot be opened is an error.
func TestOpenLetters(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	bad := errors.New("bad")
	err := d.OpenLetters(Env{}, config(nil).get, LetterOutput{Open: func(Env, options.Getter) (Side, error) { return nil, bad }})
	if !errors.Is(err, bad) || d.letters.side != nil {
		t.Errorf("got %v", err)
	}
}

// Without letters nothing of them costs anything.
func TestNoLetters(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	f := d.Begin(Chunk{Tag: "app", Data: []byte(events(3))})
	f.Record()
	index := at(0)
	if n := testing.AllocsPerRun(100, func() { f.GiveUp(Cause{Why: Refused, Text: "no"}, 1, index) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	f.NoLogKey(0, "log")
	if len(f.dead) != 0 || len(f.causes) != 0 {
		t.Errorf("it keeps %d records and %d causes", len(f.dead), len(f.causes))
	}
	f.Finish(nil)
	want(t, d, Refused, 1, DeadLetters, 0, LostLetters, 0)
}
