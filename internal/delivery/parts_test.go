package delivery

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// flushParts sends a chunk of n records in parts each, and settles the parts
// that sent says. It returns the numbers of those that it was asked to send, as
// record*100+part.
func flushParts(d *Delivery, c Chunk, n, parts int, sent func(record, part int) bool) (asked []int, result Result) {
	f := d.Begin(c)
	for range n {
		i, fresh := f.Record()
		if !fresh {
			continue
		}
		for k := range parts {
			index, fresh := f.Part(i, k, parts)
			if !fresh {
				continue
			}
			asked = append(asked, i*100+k)
			if sent(i, k) {
				f.Sent(1, at(index))
				f.Sent(1, at(index)) // a second time changes nothing
			}
		}
	}
	return asked, f.End(nil)
}

// A record counts once, when all of its parts are delivered, and of a chunk that
// comes again only the parts go that are left.
func TestParts(t *testing.T) {
	for _, way := range []string{"same output", "hot reload", "restart"} {
		t.Run(way, func(t *testing.T) {
			options := config{"stream", t.Name()}
			if way == "restart" {
				options = append(options, "ledger_path", t.TempDir())
			}
			d, _ := open(t, "out.0", options)
			c := chunkOf("a", 100)
			if _, result := flushParts(d, c, 3, 70, func(record, part int) bool { return record == 0 || record == 1 && part != 69 && part != 3 }); result != Retry {
				t.Errorf("got %v", result)
			}
			want(t, d, In, 3, Sent, 1)
			skipped := 1
			if way != "same output" {
				d.Close()
				d, _ = open(t, "out.0", options)
				flush(d, chunkOf("b", 9), 1, all)
				want(t, d, In, 3, Sent, 1) // those of a that are still to come, and b's
			}
			asked, result := flushParts(d, c, 3, 70, func(record, part int) bool { return true })
			if text := fmt.Sprint(asked[:3]); text != "[103 169 200]" || len(asked) != 72 || result != OK {
				t.Errorf("sent again: %v, %v", asked, result)
			}
			want(t, d, In, 3, Sent, 3, Skipped, skipped)
			d.Close()
		})
	}
}

// A record of which a part was dropped counts as dropped, whatever becomes of
// the others, and by whichever flush.
func TestSpoiledPart(t *testing.T) {
	for _, restart := range []bool{false, true} {
		options := config{"ledger_path", t.TempDir()}
		d, _ := open(t, "out.0", options)
		c := chunkOf("a", 100)
		f := d.Begin(c)
		f.Record()
		index := func(k int) int { i, _ := f.Part(0, k, 3); return i }
		f.Drop(Refused, 1, at(index(1)))
		f.Sent(1, at(index(0)))
		if got := f.End(nil); got != Retry {
			t.Errorf("got %v", got)
		}
		want(t, d, In, 1, Sent, 0, Refused, 0)
		if restart {
			d.Close()
			d, _ = open(t, "out.0", options)
		}
		if asked, result := flushParts(d, c, 1, 3, func(int, int) bool { return true }); len(asked) != 1 || result != OK {
			t.Errorf("sent again: %v, %v", asked, result)
		}
		want(t, d, In, 1, Sent, 0, Refused, 1)
	}
	// Dropped last, and with the others.
	d, _ := open(t, "out.0", nil)
	f := d.Begin(chunkOf("b", 1))
	f.Record()
	for k := range 2 {
		i, _ := f.Part(0, k, 2)
		f.Drop(TooOld, 1, at(i))
	}
	if got := f.End(nil); got != OK {
		t.Errorf("got %v", got)
	}
	want(t, d, In, 1, Sent, 0, TooOld, 1)
}

// A record that is parted in another way than before goes whole.
func TestPartsChange(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	c := chunkOf("a", 100)
	flushParts(d, c, 1, 5, func(_, part int) bool { return part < 4 })
	asked, result := flushParts(d, c, 1, 4, func(int, int) bool { return true })
	if len(asked) != 4 || result != OK {
		t.Errorf("sent again: %v, %v", asked, result)
	}
	want(t, d, In, 1, Sent, 1)
}

// What is said of parts in a file that is damaged is not taken for true.
func TestDamagedParts(t *testing.T) {
	head := `{"chunks":[{"tag":"a","size":100,"sum":1,"records":3,"settled":"AQ==","kept":"2030-01-01T00:00:00Z","parted":[`
	for _, bad := range []string{
		`{"record":3,"parts":2,"settled":"AQ=="}`,
		`{"record":-1,"parts":2,"settled":"AQ=="}`,
		`{"record":1,"parts":2,"settled":"Aw=="}`,
		`{"record":1,"parts":2,"settled":"BA=="}`,
		`{"record":1,"parts":0,"settled":""}`,
		`{"record":1,"parts":70,"settled":"AQ=="}`,
		`{"record":1,"parts":-1,"settled":"AQ=="}`,
		`{"record":1,"parts":2,"settled":"AQ==","dropped":"boredom"}`,
		`{"record":1,"parts":2,"settled":"AQ=="},{"record":1,"parts":2,"settled":"AQ=="}`,
	} {
		options := config{"ledger_path", t.TempDir()}
		d, got := open(t, "out.0", options)
		write(t, d.carry.file(), head+bad+`]}]}`)
		flush(d, chunkOf("a", 100), 3, all)
		if line, ok := got.find("cannot take over a ledger"); !ok || !strings.Contains(line, "record number") {
			t.Errorf("%s: %q", bad, got.take())
		}
		want(t, d, In, 3, Sent, 3)
	}
}

// The last part alone may be settled.
func TestLastPartIsTakenOver(t *testing.T) {
	d, got := open(t, "out.0", config{"ledger_path", t.TempDir()})
	write(t, d.carry.file(), `{"chunks":[{"tag":"a","size":100,"sum":1,"records":3,"settled":"AQ==","kept":"2030-01-01T00:00:00Z","parted":[{"record":1,"parts":2,"settled":"Ag=="}]}]}`)
	flush(d, chunkOf("b", 100), 3, all)
	if line, ok := got.find("cannot take over a ledger"); ok {
		t.Error(line)
	}
}

// The size that counts for ledger_max_size is near to what parts take.
func TestLedgerMemoryOfParts(t *testing.T) {
	const entries, records, parts = 200, 50, 640
	l := NewLedger(LedgerLimits{entries, 1 << 30, time.Hour}, nil)
	before := heap()
	for i := range entries {
		m := memory{key: chunkKey{tag: "a", sum: uint64(i)}, records: records, parted: make(map[int]*parted)}
		for r := range records {
			m.parted[r] = &parted{parts: parts, settled: make([]uint64, parts/64), left: 1}
		}
		l.keep(m)
	}
	took := heap() - before
	t.Logf("%d bytes an entry, counted as %d", took/entries, l.bytes/entries)
	if float64(took) > 1.2*float64(l.bytes) || float64(took) < 0.7*float64(l.bytes) {
		t.Errorf("%d entries take %d bytes and are counted as %d", entries, took, l.bytes)
	}
	runtime.KeepAlive(l)
}
