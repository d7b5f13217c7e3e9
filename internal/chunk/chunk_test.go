package chunk

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// readAll reads a chunk to its end and returns what Next returned.
func readAll(data []byte) (events []Event, records []*RecordError, err error) {
	r := NewReader(data)
	for {
		ev, err := r.Next()
		var bad *RecordError
		switch {
		case err == nil:
			events = append(events, ev)
		case errors.As(err, &bad):
			records = append(records, bad)
		case err == io.EOF:
			return events, records, nil
		default:
			return events, records, err
		}
	}
}

// Lead bytes and values as Fluent Bit writes them, for chunks made by hand.
const (
	body1   = "\x81\xa3log\xa1a"
	body2   = "\x81\xa3log\xa1b"
	extTime = "\xd7\x00\x00\x00\x00\x05\x00\x00\x00\x07" // 5.000000007 s
	start   = "\xd7\x00\xff\xff\xff\xff\x00\x00\x00\x00"
	end     = "\xd7\x00\xff\xff\xff\xfe\x00\x00\x00\x00"
)

func v2(time, metadata, body string) string { return "\x92\x92" + time + metadata + body }
func v1(time, body string) string           { return "\x92" + time + body }

func TestTimes(t *testing.T) {
	const bad = -1
	for _, tt := range []struct {
		name, time string
		sec        int64 // bad: no event
		nsec       int32
	}{
		{"fixext 8", extTime, 5, 7},
		{"ext 8 of length 8", "\xc7\x08\x00\x00\x00\x00\x05\x00\x00\x00\x07", 5, 7},
		{"ext 16 of length 8", "\xc8\x00\x08\x00\x00\x00\x00\x05\x00\x00\x00\x07", 5, 7},
		{"ext 32 of length 8", "\xc9\x00\x00\x00\x08\x00\x00\x00\x00\x05\x00\x00\x00\x07", 5, 7},
		{"after 2038", "\xd7\x00\x83\xab\xc6\x9e\x30\x2c\xf9\x26", 2209072798, 808253734},
		{"last second", "\xd7\x00\xff\xff\xff\xfd\x3b\x9a\xc9\xff", 4294967293, 999999999},
		// 1767225600.123456789 and a time after 2038, as Fluent Bit 4.2 writes them for OpenTelemetry.
		{"seconds subtracted from nanoseconds", "\xd7\x00\x69\x55\xb9\x00\x8c\x00\x14\x15", 1767225600, 123456789},
		{"the same after 2038", "\xd7\x00\x83\xab\xc6\x9e\xec\x96\xd6\x88", 2209072798, 8253734},
		{"billion nanoseconds", "\xd7\x00\x00\x00\x00\x03\x3b\x9a\xca\x00", 3, 0},
		{"start marker with nanoseconds", "\xd7\x00\xff\xff\xff\xff\x00\x00\x00\x01", bad, 0},
		{"end marker with nanoseconds", "\xd7\x00\xff\xff\xff\xfe\x00\x00\x00\x01", bad, 0},
		{"ext type 1", "\xd7\x01\x00\x00\x00\x05\x00\x00\x00\x07", bad, 0},
		{"ext 8 type 1", "\xc7\x08\x01\x00\x00\x00\x05\x00\x00\x00\x07", bad, 0},
		{"ext of 4 bytes", "\xd6\x00\x00\x00\x00\x05", bad, 0},
		{"ext 8 of length 0", "\xc7\x00\x00", bad, 0},
		{"ext 8 of length 9", "\xc7\x09\x00\x00\x00\x00\x05\x00\x00\x00\x07\x00", bad, 0},
		{"ext 16 of length 0", "\xc8\x00\x00\x00", bad, 0},
		{"ext 32 of length 0", "\xc9\x00\x00\x00\x00\x00", bad, 0},
		{"zero", "\x00", 0, 0},
		{"fixint", "\x7f", 127, 0},
		{"uint 8", "\xcc\xff", 255, 0},
		{"uint 16", "\xcd\xff\xff", 65535, 0},
		{"uint 32", "\xce\xff\xff\xff\xff", 4294967295, 0},
		{"uint 64", "\xcf\x00\x00\x00\x01\x00\x00\x00\x00", 1 << 32, 0},
		{"uint 64, largest", "\xcf\x00\x20\x00\x00\x00\x00\x00\x00", 1 << 53, 0},
		{"uint 64, too large", "\xcf\x00\x20\x00\x00\x00\x00\x00\x01", bad, 0},
		{"uint 64 of all ones", "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", bad, 0},
		{"int 8", "\xd0\x7f", 127, 0},
		{"int 16", "\xd1\x7f\xff", 32767, 0},
		{"int 32", "\xd2\x7f\xff\xff\xff", 2147483647, 0},
		{"int 64", "\xd3\x00\x00\x00\x01\x00\x00\x00\x00", 1 << 32, 0},
		{"negative fixint", "\xff", bad, 0},
		{"negative int 8", "\xd0\xff", bad, 0},
		{"negative int 16", "\xd1\xff\xff", bad, 0},
		{"negative int 32", "\xd2\xff\xff\xff\xfe", bad, 0},
		{"negative int 64", "\xd3\xff\xff\xff\xff\xff\xff\xff\xfe", bad, 0},
		{"float 64", "\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", 1, 500000000},
		{"float 64 of today", "\xcb\x41\xda\x54\xc6\x26\x90\x00\x00", 1767053466, 250000000},
		{"float 64 minus zero", "\xcb\x80\x00\x00\x00\x00\x00\x00\x00", 0, 0},
		{"float 64 just below 2", "\xcb\x3f\xff\xff\xff\xff\xff\xff\xff", 1, 999999999},
		{"float 32", "\xca\x3f\xc0\x00\x00", 1, 500000000},
		{"float 64 -1, no marker", "\xcb\xbf\xf0\x00\x00\x00\x00\x00\x00", bad, 0},
		{"float 64 -0.5", "\xcb\xbf\xe0\x00\x00\x00\x00\x00\x00", bad, 0},
		{"float 64 too large", "\xcb\x43\x40\x00\x00\x00\x00\x00\x01", bad, 0},
		{"float 64 NaN", "\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", bad, 0},
		{"float 64 infinity", "\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", bad, 0},
		{"float 32 NaN", "\xca\x7f\xc0\x00\x00", bad, 0},
		{"nil", "\xc0", bad, 0},
		{"true", "\xc3", bad, 0},
		{"string", "\xa15", bad, 0},
		{"binary", "\xc4\x015", bad, 0},
		{"map", "\x80", bad, 0},
	} {
		for _, form := range []string{v2(tt.time, "\x80", body1), v1(tt.time, body1)} {
			events, records, err := readAll([]byte(form + v1("\x01", body2)))
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			if tt.sec == bad {
				if len(events) != 1 || len(records) != 1 || records[0].Index != 0 || string(events[0].Body) != body2 {
					t.Errorf("%s: got %d events and %d bad records, want 1 and 1", tt.name, len(events), len(records))
				}
				continue
			}
			if len(events) != 2 || len(records) != 0 {
				t.Errorf("%s: got %d events and %d bad records, want 2 and 0", tt.name, len(events), len(records))
				continue
			}
			if got, want := events[0].Time, (Time{tt.sec, tt.nsec}); got != want {
				t.Errorf("%s: got time %v, want %v", tt.name, got, want)
			}
			if string(events[0].Body) != body1 {
				t.Errorf("%s: got body %q", tt.name, events[0].Body)
			}
		}
	}
}

func TestUnixMilli(t *testing.T) {
	for _, tt := range []struct {
		t    Time
		want int64
	}{
		{Time{}, 0},
		{Time{1, 999999}, 1000},
		{Time{1, 1000000}, 1001},
		{Time{1700000000, 999999999}, 1700000000999},
		{Time{maxSec, 999999999}, maxSec*1000 + 999},
	} {
		if got := tt.t.UnixMilli(); got != tt.want {
			t.Errorf("%v: got %d, want %d", tt.t, got, tt.want)
		}
	}
}

func TestMixedForms(t *testing.T) {
	data := v2(extTime, "\x81\xa1k\xa1v", body1) + v1("\x09", body2) +
		"\xdc\x00\x02\xdc\x00\x02\x01\x80\x80" + // array 16
		"\xdd\x00\x00\x00\x02\xdd\x00\x00\x00\x02\x02\x80\xa1x" + // array 32
		v2("\x03", "\xc0", body1) // metadata that is no map
	events, records, err := readAll([]byte(data))
	if err != nil || len(records) != 0 || len(events) != 5 {
		t.Fatalf("got %d events, %d bad records, %v", len(events), len(records), err)
	}
	for i, want := range []struct {
		sec            int64
		metadata, body string
	}{
		{5, "\x81\xa1k\xa1v", body1},
		{9, "", body2},
		{1, "\x80", "\x80"},
		{2, "\x80", "\xa1x"},
		{3, "\xc0", body1},
	} {
		ev := events[i]
		if ev.Time.Sec != want.sec || string(ev.Metadata) != want.metadata || string(ev.Body) != want.body {
			t.Errorf("event %d: got %d %q %q, want %v", i, ev.Time.Sec, ev.Metadata, ev.Body, want)
		}
		if ev.GroupMetadata != nil || ev.GroupAttributes != nil {
			t.Errorf("event %d has a group", i)
		}
	}
	if events[1].Metadata != nil {
		t.Errorf("the older form has metadata %q, want nil", events[1].Metadata)
	}
}

// An event's slices must not let an append run into the next record.
func TestSlicesAreCapped(t *testing.T) {
	data := []byte(v2(extTime, "\x80", body1) + v2(extTime, "\x80", body2))
	r := NewReader(data)
	ev, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	_ = append(ev.Body, 0xc1)
	_ = append(ev.Metadata, 0xc1)
	if ev, err = r.Next(); err != nil || string(ev.Body) != body2 {
		t.Errorf("got %q, %v", ev.Body, err)
	}
}

func TestOddElements(t *testing.T) {
	good := v1("\x01", body1)
	for _, odd := range []string{
		"\xc0", "\x05", "\xa3abc", "\x81\x01\x02", "\xcb\x00\x00\x00\x00\x00\x00\x00\x00", // not an array
		"\x90", "\x91\x01", "\x93\x01\x80\x80", "\xdc\x00\x03\x01\x80\x80", "\xdd\x00\x00\x00\x01\x01", // wrong size
		"\x92\x90\x80", "\x92\x91\x01\x80", "\x92\x93\x01\x80\x80\x80", // wrong header size
		"\x92\xdc\x00\x03\x01\x80\x80\x80",
		"\x92\x92\x90\x80\x80", // an array as the time
		v1("\xff", body1),
	} {
		events, records, err := readAll([]byte(good + odd + good))
		if err != nil || len(events) != 2 || len(records) != 1 {
			t.Errorf("%q: got %d events, %d bad records, %v", odd, len(events), len(records), err)
			continue
		}
		if records[0].Index != 1 || records[0].Offset != len(good) || records[0].Reason == "" {
			t.Errorf("%q: got %+v", odd, *records[0])
		}
		if msg := records[0].Error(); !strings.Contains(msg, "record 1 at byte 9: ") {
			t.Errorf("%q: got %q", odd, msg)
		}
	}
}

func TestOddBodies(t *testing.T) {
	for _, body := range []string{"\xc0", "\x05", "\xa1x", "\x91\x01", "\xc4\x01x", "\xd4\x05x", "\x81\x80\x80"} {
		events, records, err := readAll([]byte(v2(extTime, "\x80", body) + v1(extTime, body)))
		if err != nil || len(records) != 0 || len(events) != 2 {
			t.Errorf("%q: got %d events, %d bad records, %v", body, len(events), len(records), err)
			continue
		}
		if string(events[0].Body) != body || string(events[1].Body) != body {
			t.Errorf("got %q and %q, want %q", events[0].Body, events[1].Body, body)
		}
	}
}

func TestGroups(t *testing.T) {
	event := func(n string) string { return v2(extTime, "\x80", n) }
	open := func(n string) string { return v2(start, "\x81\xa1m"+n, "\x81\xa1a"+n) }
	shut := v2(end, "\x80", "\x80")
	for _, tt := range []struct {
		name, data string
		want       string // for each event its body and its group's number, - for none
	}{
		{"in and out", event("\x01") + open("\x07") + event("\x02") + event("\x03") + shut + event("\x04"), "1- 27 37 4-"},
		{"two groups", open("\x07") + event("\x01") + shut + open("\x08") + event("\x02") + shut, "17 28"},
		{"start after start", open("\x07") + event("\x01") + open("\x08") + event("\x02"), "17 28"},
		{"many starts", strings.Repeat(open("\x07"), 5000) + event("\x01"), "17"},
		{"end without start", shut + event("\x01"), "1-"},
		{"end twice", open("\x07") + shut + shut + event("\x01"), "1-"},
		{"markers alone", open("\x07") + shut + open("\x08"), ""},
		{"odd record within", open("\x07") + "\xc0" + event("\x01"), "17"},
		{"marker with nanoseconds within", open("\x07") + v2("\xd7\x00\xff\xff\xff\xfe\x00\x00\x00\x01", "\x80", "\x80") + event("\x01"), "17"},
		{"older form within", open("\x07") + v1("\x05", "\x01"), "17"},
	} {
		events, _, err := readAll([]byte(tt.data))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var got []string
		for _, ev := range events {
			group := "-"
			if ev.GroupMetadata != nil {
				m, ok := Lookup(ev.GroupMetadata, []string{"m"})
				a, ok2 := Lookup(ev.GroupAttributes, []string{"a"})
				if !ok || !ok2 || m[0] != a[0] {
					t.Errorf("%s: got group %q %q", tt.name, ev.GroupMetadata, ev.GroupAttributes)
					continue
				}
				group = string('0' + m[0])
			}
			got = append(got, string('0'+ev.Body[0])+group)
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, s, tt.want)
		}
	}

	// A marker of the older form has no metadata.
	events, _, err := readAll([]byte(v1(start, "\x81\xa1a\x07") + v1("\x01", body1)))
	if err != nil || len(events) != 1 || events[0].GroupMetadata != nil || string(events[0].GroupAttributes) != "\x81\xa1a\x07" {
		t.Errorf("marker of the older form: got %v, %v", events, err)
	}
}

func TestSyntaxErrors(t *testing.T) {
	good := v2(extTime, "\x80", body1)
	for _, tt := range []struct {
		name, data string
		offset     int // from the start of the broken element
		reason     string
	}{
		{"not msgpack", "\xc1", 0, reasonByte},
		{"not msgpack as time", "\x92\xc1\x80", 1, reasonByte},
		{"not msgpack as header", "\x92\x92\xc1\x80\x80", 2, reasonByte},
		{"not msgpack as metadata", "\x92\x92\x01\xc1\x80", 3, reasonByte},
		{"not msgpack as body", "\x92\x01\xc1", 2, reasonByte},
		{"not msgpack deep in the body", "\x92\x01\x82\xa1a\x01\xa1b\x91\xc1", 9, reasonByte},
		{"not msgpack in an odd element", "\x93\x01\x02\xc1", 3, reasonByte},
		{"not msgpack in an odd header", "\x92\x93\x01\x02\xc1\x80", 4, reasonByte},
		{"no time", "\x92", 1, reasonEnd},
		{"no header", "\x92\x92", 2, reasonEnd},
		{"header cut", "\x92\xdc\x00", 1, reasonShort},
		{"time cut", "\x92\x92\xd7\x00\x00\x00", 2, reasonShort},
		{"no metadata", "\x92\x92\x01", 3, reasonEnd},
		{"no body", "\x92\x92\x01\x80", 4, reasonEnd},
		{"no body in the older form", "\x92\x01", 2, reasonEnd},
		{"string cut", "\x92\x01\x81\xa3log\xa5abcd", 7, reasonShort},
		{"map cut", "\x92\x01\x82\xa1a\x01\xa1b", 8, reasonEnd},
		{"map cut so that its entries cannot fit", "\x92\x01\x82\xa1a\x01", 2, reasonShort},
		{"root header cut", "\xdc\x00", 0, reasonShort},
		{"root header cut to a byte", "\xdd", 0, reasonShort},
		{"map of 4 billion", "\x92\x01\xdf\xff\xff\xff\xff\x01\x02\x03", 2, reasonShort},
	} {
		events, records, err := readAll([]byte(good + good + tt.data))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || len(events) != 2 || len(records) != 0 {
			t.Errorf("%s: got %d events, %d bad records, %v", tt.name, len(events), len(records), err)
			continue
		}
		want := SyntaxError{Index: 2, Start: 2 * len(good), Offset: 2*len(good) + tt.offset, Reason: tt.reason}
		if *syntax != want {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.name, *syntax, want)
		}
	}
}
