//go:build cgo

package chunk_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"unsafe"

	"github.com/fluent/fluent-bit-go/output"
	"github.com/ugorji/go/codec"

	"aws-for-fluent-bit/internal/chunk"
)

// FuzzAgainstFluentBitGo reads chunks with fluent-bit-go's decoder as well. As
// far as that one gets, both find the same times and the same records.
//
// It does not get as far: it gives a chunk up at the first element that it does
// not take, takes no times but its own and unsigned ones, no bodies that are not
// maps, and no keys that Go cannot compare; and it takes markers of groups for
// records. So what is wanted of an element is: if both take it, they agree.
func FuzzAgainstFluentBitGo(f *testing.F) {
	files, err := filepath.Glob("testdata/fluentbit/*/*.msgpack")
	if err != nil || len(files) == 0 {
		f.Fatalf("no corpus: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if len(data) < 4<<10 {
			f.Add(data)
		}
	}
	f.Add([]byte("\x92\xcf\x00\x00000000\xdf\x00\x00\x00\x02e\xdf\x00\x00\x00\x0100e\x00\x00"))
	f.Add([]byte("\x92\x05\x82\x01\x81\x05\x06\x01\x81\x07\x08"))
	f.Add([]byte("\x92\x92\xd7\x00\x00\x00\x00\x05\x00\x00\x00\x07\x80\x81\xa1a\x01\x92\xcf\x00\x00\x00\x00\x00\x00\x00\x05\x81\xa1b\xc0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		peer := output.NewDecoder(unsafe.Pointer(unsafe.SliceData(data)), len(data))
		r := chunk.NewReader(data)
		for at := 0; ; {
			rest, err := chunk.Skip(data[at:])
			if err != nil {
				return // broken from here on
			}
			end := len(data) - len(rest)
			taken, when, record := take(peer)
			if !taken {
				return
			}
			ev, err := r.Next()
			if err == io.EOF {
				return // a marker of a group was the last
			}
			if bad, ok := err.(*chunk.RecordError); ok {
				if bad.Offset > at {
					return // the peer took a marker
				}
				at = end
				continue
			}
			if broken, ok := err.(*chunk.SyntaxError); ok {
				if broken.Start == at {
					t.Fatalf("at byte %d: %v, and fluent-bit-go has %v", at, err, record)
				}
				return // the peer took a marker
			}
			if !within(data[at:end], ev.Body) {
				return // the peer took a marker
			}
			switch when := when.(type) {
			case output.FLBTime:
				// It lets a billion nanoseconds or more run on into later seconds.
				if got := ev.Time; when.Unix() == got.Sec && when.Nanosecond() != int(got.Nsec) || when.Unix() < got.Sec || when.Unix() > got.Sec+4 {
					t.Fatalf("time %v, fluent-bit-go has %v", got, when)
				}
			case uint64:
				if uint64(ev.Time.Sec) != when || ev.Time.Nsec != 0 {
					t.Fatalf("time %v, fluent-bit-go has %d", ev.Time, when)
				}
			}
			same, err := decode(ev.Body, false)
			right, rightErr := decode(ev.Body, true)
			if rightErr != nil {
				t.Fatalf("body %q: %v, and fluent-bit-go has %v", ev.Body, rightErr, record)
			}
			if err != nil || same != right {
				return // a key comes twice, and the peer may have read on behind the body
			}
			if want := fmt.Sprint(record); same != want {
				t.Fatalf("body %s, fluent-bit-go has %s", same, want)
			}
			at = end
		}
	})
}

// decode prints a body as fluent-bit-go's codec has it. That one decodes the
// second value of a key that comes twice into the first, unless it is told to
// reset: a number into a map, say, which then takes more bytes than the number has.
func decode(body []byte, reset bool) (string, error) {
	h := handle()
	h.InterfaceReset = reset
	var record map[any]any
	err := codec.NewDecoderBytes(body, h).Decode(&record)
	return fmt.Sprint(record), err
}

// handle is fluent-bit-go's own.
func handle() *codec.MsgpackHandle {
	h := new(codec.MsgpackHandle)
	if err := h.SetBytesExt(reflect.TypeFor[output.FLBTime](), 0, &output.FLBTime{}); err != nil {
		panic(err)
	}
	return h
}

// take is GetRecord, which panics at an extension of type 0 with less than 8
// bytes, and at some keys.
func take(d *output.FLBDecoder) (taken bool, when any, record map[any]any) {
	defer func() {
		if recover() != nil {
			taken = false
		}
	}()
	ret, when, record := output.GetRecord(d)
	return ret == 0, when, record
}

// within reports whether part is a slice of all.
func within(all, part []byte) bool {
	begin, at := uintptr(unsafe.Pointer(unsafe.SliceData(all))), uintptr(unsafe.Pointer(unsafe.SliceData(part)))
	return at >= begin && at+uintptr(len(part)) <= begin+uintptr(len(all))
}
