// Package chunk reads the chunks that Fluent Bit hands to an output plugin.
//
// A chunk is a run of msgpack values without an outer array. Each value is one
// of these, and all of them may occur in one chunk:
//
//	[[time, metadata], body]   Fluent Bit 2.1 and later
//	[time, body]               older, and what in_forward may pass on
//
// The time is a msgpack extension of type 0 with 8 bytes (seconds and
// nanoseconds, both big endian and unsigned), an integer, or a float.
// An event whose time is one of two reserved values, and nanoseconds 0, is no
// event but a marker that opens or closes a group: between the two, the
// marker's metadata and body describe every event.
//
// The rules are those of Fluent Bit 5.1.1, src/flb_log_event_decoder.c and
// src/flb_time.c, except that a record is not lost for a body or metadata that
// is not a map, which are returned as they are, nor for a time with a billion
// nanoseconds or more, as earlier versions write it.
//
// The usual loop:
//
//	r := chunk.NewReader(data)
//	for {
//		ev, err := r.Next()
//		if err == io.EOF {
//			break
//		}
//		var bad *chunk.RecordError
//		if errors.As(err, &bad) {
//			continue // this one is lost, the others are not
//		}
//		if err != nil {
//			return err // not msgpack from here on; what came before is good
//		}
//		...
//	}
package chunk

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Time is the time of an event, counted from the Unix epoch. It is never
// negative.
type Time struct {
	Sec  int64
	Nsec int32 // 0 to 999,999,999
}

// UnixMilli gives t in milliseconds, rounded down.
func (t Time) UnixMilli() int64 { return t.Sec*1000 + int64(t.Nsec)/1e6 }

// Event is one record of a chunk. Its slices alias the chunk, and hold one
// complete msgpack value each.
type Event struct {
	Time     Time
	Metadata []byte // nil for an event of the older form
	Body     []byte // nearly always a map, but may be any value

	// GroupMetadata and GroupAttributes are the metadata and the body of the
	// marker that opened the group the event is in, nil outside of groups.
	GroupMetadata   []byte
	GroupAttributes []byte
}

// RecordError tells that one element of a chunk is valid msgpack but not an
// event. The elements after it can still be read.
type RecordError struct {
	Index  int    // how many elements come before it in the chunk, of whatever kind
	Offset int    // where the element begins, in bytes from the start of the chunk
	End    int    // and ends
	Reason string // without any of the record's content
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("cannot read record %d at byte %d: %s", e.Index, e.Offset, e.Reason)
}

// SyntaxError tells that the bytes are not msgpack, or end before a value
// does. Nothing after it can be read.
type SyntaxError struct {
	Index  int // how many elements come before the broken one in the chunk
	Start  int // where the broken element begins, in bytes from the start of the chunk
	Offset int // see Reason; in bytes from the start of the chunk

	// Reason says what is wrong at Offset: a byte that begins no msgpack
	// value, the first byte of a value that runs past the end, or the end
	// itself where another value had to follow.
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("cannot read msgpack at byte %d (record %d, which begins at byte %d): %s",
		e.Offset, e.Index, e.Start, e.Reason)
}

// Reader walks over a chunk. It does not copy: the chunk must stay as it is
// for as long as the reader or one of its events is used.
type Reader struct {
	data  []byte
	off   int
	index int
	err   error // the SyntaxError once there is one: there is no way on from it

	groupMetadata   []byte
	groupAttributes []byte

	repeats repeats
}

// NewReader returns a Reader for the bytes of one chunk.
func NewReader(data []byte) Reader {
	return Reader{data: data[:len(data):len(data)]}
}

// Offset returns how many bytes were read, and how many are left.
func (r *Reader) Offset() (read, left int) { return r.off, len(r.data) - r.off }

// Next returns the next event and passes over group markers. Its errors:
//
//   - io.EOF: the chunk ends here, and at the end of an element.
//   - *RecordError: this element is not an event. Go on with Next.
//   - *SyntaxError: the chunk cannot be read any further. Everything returned
//     before is good. Next returns the same error from now on.
func (r *Reader) Next() (Event, error) {
	for r.err == nil {
		start := r.off
		if start == len(r.data) {
			return Event{}, io.EOF
		}
		p, bad := r.element(start)
		if bad != "" {
			r.err = &SyntaxError{Index: r.index, Start: start, Offset: p.end, Reason: bad}
			break
		}
		r.off = p.end
		r.index++
		if p.odd != "" {
			return Event{}, &RecordError{Index: r.index - 1, Offset: start, End: p.end, Reason: p.odd}
		}
		switch p.kind {
		case groupStart:
			r.groupMetadata, r.groupAttributes = p.metadata, p.body
		case groupEnd:
			r.groupMetadata, r.groupAttributes = nil, nil
		default:
			return Event{
				Time:            p.time,
				Metadata:        p.metadata,
				Body:            p.body,
				GroupMetadata:   r.groupMetadata,
				GroupAttributes: r.groupAttributes,
			}, nil
		}
	}
	return Event{}, r.err
}

// kind says what an element is, told from its time.
type kind int

const (
	event kind = iota
	groupStart
	groupEnd
)

// The seconds of the two markers, as Fluent Bit writes them: -1 and -2 as
// unsigned 32-bit numbers (include/fluent-bit/flb_log_event.h).
const (
	groupStartSec = 0xffffffff
	groupEndSec   = 0xfffffffe
)

// parts is an element taken apart.
type parts struct {
	end            int // of the element; of a broken one, where it is broken
	kind           kind
	time           Time
	metadata, body []byte
	odd            string // why the element is not an event
}

// element takes the element that begins at start apart. A text as the second
// result says that it is not msgpack at parts.end.
func (r *Reader) element(start int) (p parts, bad string) {
	b := r.data
	i, n := arrayHeader(b, start)
	if n != 2 {
		p.end, bad = skip(b, start)
		p.odd = "not an array of two values"
		return p, bad
	}
	hasMetadata := false
	if j, n := arrayHeader(b, i); n >= 0 {
		if n != 2 {
			p.end, bad = skip(b, start)
			p.odd = "its header is not an array of time and metadata"
			return p, bad
		}
		i, hasMetadata = j, true
	}

	timeAt := i
	if i, bad = skip(b, i); bad != "" {
		p.end = i
		return p, bad
	}
	p.time, p.kind, p.odd = readTime(b[timeAt:i])

	if hasMetadata {
		metadataAt := i
		if i, bad = skip(b, i); bad != "" {
			p.end = i
			return p, bad
		}
		p.metadata = b[metadataAt:i:i]
	}
	if p.end, bad = r.repeats.skip(b, i); bad != "" {
		return p, bad
	}
	p.body = b[i:p.end:p.end]
	return p, ""
}

// arrayHeader returns the place of the first element and the number of
// elements of the array at i, or -1 if there is no array there, or not even
// all of its header.
func arrayHeader(b []byte, i int) (next, n int) {
	if i >= len(b) {
		return i, -1
	}
	c := b[i]
	switch {
	case c&0xf0 == 0x90:
		return i + 1, int(c & 0x0f)
	case c == 0xdc && len(b)-i >= 3:
		return i + 3, int(binary.BigEndian.Uint16(b[i+1:]))
	case c == 0xdd && len(b)-i >= 5:
		return i + 5, int(binary.BigEndian.Uint32(b[i+1:]))
	}
	return i, -1
}

// Seconds above this would not fit int64 as milliseconds. It is also exactly
// representable as a float64, so that floats can be compared with it.
const maxSec = 1 << 53

// readTime reads the msgpack value v, which is complete, as an event's time.
// A text as the third result says why it is none.
func readTime(v []byte) (t Time, k kind, odd string) {
	c := v[0]
	switch {
	case c == 0xd7 && v[1] == 0: // fixext 8, what Fluent Bit writes
		return eventTime(v[2:])
	case c == 0xc7 && v[1] == 8 && v[2] == 0: // ext 8
		return eventTime(v[3:])
	case c == 0xc8 && binary.BigEndian.Uint16(v[1:]) == 8 && v[3] == 0: // ext 16
		return eventTime(v[4:])
	case c == 0xc9 && binary.BigEndian.Uint32(v[1:]) == 8 && v[5] == 0: // ext 32
		return eventTime(v[6:])
	case c <= 0x7f: // positive fixint
		return intTime(uint64(c))
	case c == 0xcc:
		return intTime(uint64(v[1]))
	case c == 0xcd:
		return intTime(uint64(binary.BigEndian.Uint16(v[1:])))
	case c == 0xce:
		return intTime(uint64(binary.BigEndian.Uint32(v[1:])))
	case c == 0xcf:
		return intTime(binary.BigEndian.Uint64(v[1:]))
	// Signed forms: a positive number is as good as its unsigned form, a
	// negative one becomes a large unsigned one, which intTime refuses.
	case c == 0xd0:
		return intTime(uint64(int8(v[1])))
	case c == 0xd1:
		return intTime(uint64(int16(binary.BigEndian.Uint16(v[1:]))))
	case c == 0xd2:
		return intTime(uint64(int32(binary.BigEndian.Uint32(v[1:]))))
	case c == 0xd3:
		return intTime(binary.BigEndian.Uint64(v[1:]))
	case c >= 0xe0: // negative fixint
		return intTime(uint64(int8(c)))
	case c == 0xca:
		return floatTime(float64(math.Float32frombits(binary.BigEndian.Uint32(v[1:]))))
	case c == 0xcb:
		return floatTime(math.Float64frombits(binary.BigEndian.Uint64(v[1:])))
	}
	return Time{}, event, "its time is not a number or a Fluent Bit time"
}

// eventTime reads the 8 bytes of Fluent Bit's own time.
func eventTime(v []byte) (Time, kind, string) {
	sec := binary.BigEndian.Uint32(v)
	nsec := binary.BigEndian.Uint32(v[4:])
	if sec >= groupEndSec {
		switch {
		case nsec != 0:
			return Time{}, event, "its time is a group marker's with nanoseconds"
		case sec == groupStartSec:
			return Time{}, groupStart, ""
		default:
			return Time{}, groupEnd, ""
		}
	}
	if nsec >= 1e9 {
		// Up to 4.2, OpenTelemetry's times come with the seconds subtracted from
		// all the nanoseconds since 1970, the low 32 bits of that (flb_time.h,
		// flb_time_from_uint64). Undone here: the nanoseconds within the second.
		if nsec += sec - uint32(uint64(sec)*1e9); nsec >= 1e9 {
			nsec = 0 // something else; the second is good all the same
		}
	}
	return Time{Sec: int64(sec), Nsec: int32(nsec)}, event, ""
}

func intTime(sec uint64) (Time, kind, string) {
	if sec > maxSec {
		return Time{}, event, "its time is negative or too large"
	}
	return Time{Sec: int64(sec)}, event, ""
}

func floatTime(f float64) (Time, kind, string) {
	if !(f >= 0 && f <= maxSec) { // written so that NaN is refused too
		return Time{}, event, "its time is negative, too large or not a number"
	}
	sec := math.Floor(f)
	return Time{Sec: int64(sec), Nsec: int32((f - sec) * 1e9)}, event, ""
}
