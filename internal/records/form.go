package records

import (
	"errors"
	"fmt"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/compress"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/jsonenc"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/timefmt"
)

// truncatedMark ends a record that was cut, as in AWS's Go plugins.
const truncatedMark = "[Truncated...]"

// minRecordSize leaves room for a partition key of 256 characters, 1,024 bytes,
// and for some of the record itself.
const minRecordSize = 4 << 10

// Form is what the options make of a record before it is sent. It does not
// change and may be used by many flushes.
type Form struct {
	shape      jsonenc.Shape
	shaped     bool // shape changes anything
	logKey     string
	logPath    []string
	time       *timefmt.Format
	newline    bool
	compressor *compress.Compressor // nil: none
	limit      int                  // bytes of one record, partition key included
	concat     bool                 // records are put together, and then compressed
}

// ParseForm reads the options that say what a record looks like:
//
//	data_keys, log_key, replace_dots, time_key, time_key_format,
//	time_key_timezone, compression, simple_aggregation, max_record_size
//
// newline says whether each record ends with one; limit is the service's own
// for one record, and most what max_record_size may raise it to.
func ParseForm(s *options.Set, newline bool, limit, most int) Form {
	f := Form{
		shape:   jsonenc.Shape{Keys: s.List("data_keys"), TimeKey: s.String("time_key", "")},
		logKey:  s.String("log_key", ""),
		newline: newline,
		concat:  s.Bool("simple_aggregation", false),
		limit:   s.Size("max_record_size", limit, minRecordSize, most),
	}
	if dots, ok := s.Lookup("replace_dots"); ok {
		f.shape.ReplaceDots = &dots
	}
	f.newline = f.newline || f.concat // what is put together is told apart by lines
	f.shaped = len(f.shape.Keys) > 0 || f.shape.ReplaceDots != nil || f.shape.TimeKey != ""
	if f.logKey != "" {
		f.logPath = []string{f.logKey}
	}
	f.parseTime(s)
	if name := s.OneOf("compression", "none", append([]string{"none"}, compress.Names...)...); name != "none" {
		c, err := compress.New(name)
		if err != nil {
			s.Conflict("option compression: %w", err)
		}
		f.compressor = c
	}
	return f
}

func (f *Form) parseTime(s *options.Set) {
	zone, err := timefmt.Zone(s.String("time_key_timezone", "utc"))
	if err != nil {
		s.Fail("time_key_timezone", s.String("time_key_timezone", ""), timefmt.AllowedZones)
	}
	format := s.Raw("time_key_format", "")
	if f.shape.TimeKey == "" {
		return
	}
	if f.time, err = timefmt.Compile(format, zone); err != nil {
		s.Fail("time_key_format", format, fmt.Sprintf("%s (%v)", timefmt.Allowed, err))
	}
}

var errNoLogKey = errors.New("the record lacks the key to send")

// Writer writes records of one flush. It is not safe for concurrent use.
type Writer struct {
	f     *Form
	flush *delivery.Flush
	last  timefmt.Last
	text  []byte // owned by Writer for reuse, as the next two
	data  []byte
	time  []byte
}

// NewWriter returns a Writer for the records of a flush.
func (f *Form) NewWriter(flush *delivery.Flush) *Writer {
	return &Writer{f: f, flush: flush}
}

// Write returns an event as the service is to get it, in at most the record
// limit less the key bytes of its partition key. The result is valid until the
// next call. A record that cannot be sent is dropped from the flush, and ok is
// false.
func (w *Writer) Write(i int, ev *chunk.Event, key int) (data []byte, ok bool) {
	text, err := w.appendText(w.text[:0], ev)
	w.text = text
	switch {
	case err == errNoLogKey:
		w.flush.NoLogKey(i, w.f.logKey)
	case err != nil:
		w.flush.Malformed(i, err)
	case len(text) == 0:
		w.flush.DropRecord(delivery.Empty, i)
	default:
		return w.fit(w.f.Room(key)), true
	}
	return nil, false
}

// appendText appends the record's text without a newline.
func (w *Writer) appendText(dst []byte, ev *chunk.Event) (out []byte, err error) {
	switch {
	case w.f.logPath != nil:
		value, ok := chunk.Lookup(ev.Body, w.f.logPath)
		if !ok {
			return dst, errNoLogKey
		}
		out, _, err = jsonenc.AppendText(dst, value)
	case w.f.shaped:
		if w.f.time != nil {
			w.time = w.f.time.Append(w.time[:0], &w.last, ev.Time.Sec, ev.Time.Nsec)
		}
		out, err = w.f.shape.AppendJSON(dst, ev.Body, w.time)
	default:
		out, _, err = jsonenc.AppendJSON(dst, ev.Body)
	}
	return out, err
}

// fit ends the text as the options ask, in at most limit bytes.
func (w *Writer) fit(limit int) []byte {
	mark, end := truncatedMark, ""
	if w.f.newline {
		mark, end = truncatedMark+"\n", "\n"
	}
	if w.f.compressor != nil && !w.f.concat {
		return w.compress(limit, mark, end)
	}
	if len(w.text)+len(end) > limit {
		w.text = append(w.text[:jsonenc.CutText(w.text, limit-len(mark))], mark...)
		w.flush.Truncated("max_record_size", w.f.limit)
		return w.text
	}
	w.text = append(w.text, end...)
	return w.text
}

// compress compresses the text, and cuts it only when it does not fit all the same.
func (w *Writer) compress(limit int, mark, end string) []byte {
	n := len(w.text)
	w.text = append(w.text, end...)
	w.data = w.f.compressor.Append(w.data[:0], w.text)
	if len(w.data) > limit {
		var cut bool
		if w.data, cut = w.f.compressor.AppendFit(w.data[:0], w.text[:n], limit, jsonenc.CutText, mark); cut {
			w.flush.Truncated("max_record_size", w.f.limit)
		}
	}
	return w.data
}

// Room is how many bytes of text a record has room for beside a partition key
// of key bytes. What is compressed only when it is put together must not become
// too large by it: a random text grows by a sixth in snappy's worst case.
func (f *Form) Room(key int) int {
	room := f.limit - key
	if f.concat && f.compressor != nil {
		room -= room/6 + 64
	}
	return room
}

// Concatenates says whether the options ask for simple_aggregation.
func (f *Form) Concatenates() bool { return f.concat }

// Compress returns text compressed, if the options ask for it, or as it is. It
// writes to buf and returns that too, perhaps larger: it is the caller's for
// reuse.
func (f *Form) Compress(text, buf []byte) (data, reuse []byte) {
	if f.compressor == nil {
		return text, buf
	}
	buf = f.compressor.Append(buf[:0], text)
	return buf, buf
}

// Limit is the largest record in bytes, partition key included.
func (f *Form) Limit() int { return f.limit }
