package delivery

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"aws-for-fluent-bit/internal/chunk"
)

// event is a record in Fluent Bit's form: [[time, {}], {"k": i}].
func event(i byte) string {
	return "\x92\x92\xd7\x00\x00\x00\x00\x01\x00\x00\x00\x00\x80\x81\xa1k" + string(rune(i&0x7f))
}

const noEvent = "\x93\x01\x02\x03" // msgpack, but not a record

func events(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(event(byte(i)))
	}
	return b.String()
}

func TestWalk(t *testing.T) {
	for _, c := range []struct {
		name   string
		data   string
		walked []int
		result Result
		counts []any
		logged string
	}{
		{"empty", "", nil, OK, nil, ""},
		{"records", events(3), []int{0, 1, 2}, OK, []any{In, 3, Sent, 3}, ""},
		{"not a record", event(0) + noEvent + event(2), []int{0, 2}, OK, []any{In, 3, Sent, 2, Malformed, 1}, "cannot read record 1"},
		{"cut off", events(2) + event(2)[:7], []int{0, 1}, Error, []any{In, 2, Sent, 2}, "is given up"},
		{"not msgpack", events(2) + "\xc1" + event(3), []int{0, 1}, Error, []any{In, 2, Sent, 2}, "is given up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, got := open(t, "out.0", nil)
			f := d.Begin(Chunk{Tag: "app", Data: []byte(c.data)})
			var walked []int
			broken := f.Walk(func(i int, ev *chunk.Event) {
				if int(ev.Body[len(ev.Body)-1]) != i {
					t.Errorf("record %d has body %q", i, ev.Body)
				}
				walked = append(walked, i)
				f.Sent(1, at(i))
			})
			if r := f.Finish(broken); r != c.result || !slices.Equal(walked, c.walked) {
				t.Errorf("%v after records %v, want %v and %v: %v", r, walked, c.result, c.walked, broken)
			}
			want(t, d, c.counts...)
			line, ok := got.find(c.logged)
			if ok != (c.logged != "") || ok && !strings.Contains(line, `"app"`) {
				t.Errorf("logged %q, want %q and the tag", line, c.logged)
			}
		})
	}
}

// TestWalked: how far the walk has come can be told on the way, and who brought a chunk
// hears that it was read when the output says so.
func TestWalked(t *testing.T) {
	for _, data := range []string{events(3), events(2) + "\xc1"} {
		d, _ := open(t, "out.0", nil)
		read := 0
		f := d.Begin(Chunk{Tag: "app", Data: []byte(data), Read: func(bodies, unsent int) { read += 10*bodies + unsent }})
		each := len(events(1))
		broken := f.Walk(func(i int, _ *chunk.Event) {
			if walked, left := f.Walked(); walked != (i+1)*each || left != len(data)-walked {
				t.Errorf("with record %d %d bytes were walked, and %d are left", i, walked, left)
			}
			f.Sent(1, at(i))
		})
		if read != 0 {
			t.Error("the walk says that the chunk was read")
		}
		if walked, left := f.Walked(); walked != 0 || left != 0 {
			t.Errorf("%d bytes were walked and %d are left where nothing is being walked", walked, left)
		}
		w, ok := walks.Get()
		if !ok {
			t.Fatal("what a walk takes is not kept for the next one")
		}
		if off, left := w.reader.Offset(); off != 0 || left != 0 || w.event.Body != nil {
			t.Error("what a walk takes is kept with the chunk")
		}
		if f.WasRead(8, 7); read != 87 {
			t.Errorf("at the end of a chunk 7 bytes of 8 were unsent, and of %d were told", read)
		}
		f.Finish(broken)
	}
	d, _ := open(t, "out.0", nil)
	f := d.Begin(Chunk{Tag: "app"})
	f.WasRead(0, 0) // which nobody waits for
	f.Finish(nil)
}

// What is settled is not read again, and what is no record is dropped once.
func TestWalkAgain(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	c := Chunk{Tag: "app", Data: []byte(events(4) + noEvent + events(4))}
	for _, want := range [][]int{{0, 1, 2, 3, 5, 6, 7, 8}, {1, 3, 5, 7}} {
		f := d.Begin(c)
		var walked []int
		broken := f.Walk(func(i int, _ *chunk.Event) {
			walked = append(walked, i)
			if even(i) || len(want) == 4 {
				f.Sent(1, at(i))
			}
		})
		f.Finish(broken)
		if !slices.Equal(walked, want) {
			t.Errorf("walked %v, want %v", walked, want)
		}
	}
	want(t, d, In, 9, Sent, 8, Malformed, 1, Skipped, 5)
}

// A panic over one record costs that record.
func TestWalkPanic(t *testing.T) {
	d, got := open(t, "out.0", nil)
	f := d.Begin(Chunk{Tag: "app", Data: []byte(events(5))})
	broken := f.Walk(func(i int, _ *chunk.Event) {
		if i == 2 {
			var m map[string]int
			m["x"] = 1
		}
		f.Sent(1, at(i))
	})
	if r := f.Finish(broken); r != OK {
		t.Errorf("flush is %v, want FLB_OK: %v", r, broken)
	}
	want(t, d, In, 5, Sent, 4, Malformed, 1)
	if line, ok := got.find("panic"); !ok || !strings.Contains(line, "nil map") || !strings.Contains(line, "walk_test.go") {
		t.Errorf("logged %q, want the panic with its stack", line)
	}
}

func TestCaught(t *testing.T) {
	walk := func() (err error) {
		defer caught(&err)
		panic("odd")
	}
	if err := walk(); err == nil || !strings.Contains(err.Error(), "panic: odd") || !strings.Contains(err.Error(), "walk_test.go") {
		t.Errorf("error is %v, want the panic with its stack", err)
	}
	quiet := func() (err error) {
		defer caught(&err)
		return errBroken
	}
	if err := quiet(); !errors.Is(err, errBroken) {
		t.Errorf("error is %v, want that of the walk", err)
	}
}

func TestSayings(t *testing.T) {
	d, got := open(t, "out.0", nil)
	f := d.Begin(Chunk{Tag: "app"})
	for range 3 {
		f.Record()
	}
	f.Malformed(0, errBroken)
	f.NoLogKey(1, "log")
	f.Truncated("max_event_size", 100)
	f.Sent(1, at(2))
	for range 10 { // counted and not said
		i, _ := f.Record()
		f.Malformed(i, errBroken)
		i, _ = f.Record()
		f.NoLogKey(i, "log")
		f.Truncated("max_event_size", 100)
	}
	if n := testing.AllocsPerRun(100, func() { f.Truncated("max_event_size", 100) }); n != 0 {
		t.Errorf("a record that is cut costs %v allocations, want 0", n)
	}
	f.End(nil)
	want(t, d, In, 23, Sent, 1, Malformed, 11, MissingKey, 11, Truncated, 112)
	wantLines := []string{
		`warning a record of tag "app" was dropped: cannot read chunk at byte 7`,
		`warning a record of tag "app" was dropped: it has no key "log", which option log_key names`,
		`warning a record of tag "app" was cut to option max_event_size, 100 bytes`,
	}
	if lines := got.take(); !slices.Equal(lines, wantLines) {
		t.Errorf("logged %q, want %q", lines, wantLines)
	}
}

// The walk costs one allocation more than the flush, whatever the chunk holds.
func TestWalkAllocations(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	for _, n := range []int{1, 1000} {
		c := Chunk{Tag: "app", Data: []byte(events(n))}
		got := testing.AllocsPerRun(100, func() {
			f := d.Begin(c)
			read := 0
			broken := f.Walk(func(int, *chunk.Event) { read++ })
			f.Sent(read, at(0))
			f.Finish(broken)
		})
		if got > 2 {
			t.Errorf("a flush of %d records allocates %v times, want at most 2", n, got)
		}
	}
}
