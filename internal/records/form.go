package records

import (
	"bytes"
	"errors"
	"fmt"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/compress"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/fields"
	"aws-for-fluent-bit/internal/jsonenc"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/parts"
	"aws-for-fluent-bit/internal/spare"
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
	pick       fields.Pick
	time       *timefmt.Format
	newline    bool
	compressor *compress.Compressor // nil: none
	limit      int                  // bytes of one record, partition key included
	tooBig     parts.TooBig         // what becomes of one that has more
	concat     bool                 // records are put together, and then compressed
}

// ParseForm reads the options that say what a record looks like:
//
//	data_keys, exclude_keys, log_key, log_key_missing, replace_dots, time_key,
//	time_key_format, time_key_timezone, compression, simple_aggregation,
//	max_record_size, too_big
//
// newline says whether each record ends with one; limit is the service's own
// for one record, and most what max_record_size may raise it to.
func ParseForm(s *options.Set, newline bool, limit, most int) Form {
	f := Form{
		shape:   jsonenc.Shape{TimeKey: s.String("time_key", "")},
		newline: newline,
		concat:  s.Bool("simple_aggregation", false),
		limit:   s.Size("max_record_size", limit, minRecordSize, most),
		tooBig:  parts.ParseTooBig(s),
	}
	f.pick = fields.ParsePick(s)
	f.shape.Keys = f.pick.TakeTops()
	if dots, ok := s.Lookup("replace_dots"); ok {
		f.shape.ReplaceDots = &dots
	}
	f.newline = f.newline || f.concat // what is put together is told apart by lines
	f.shaped = len(f.shape.Keys) > 0 || f.shape.ReplaceDots != nil || f.shape.TimeKey != ""
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
	name := s.String("time_key_timezone", "utc")
	zone, err := timefmt.Zone(name)
	if err != nil {
		s.Fail("time_key_timezone", name, timefmt.AllowedZones)
	}
	format := s.Raw("time_key_format", "")
	f.time, err = timefmt.Compile(format, zone)
	if err != nil {
		s.Fail("time_key_format", format, fmt.Sprintf("%s (%v)", timefmt.Allowed, err))
	}
}

var errNoLogKey = errors.New("the record lacks the key to send")

// Writer writes records of one flush. It is not safe for concurrent use.
type Writer struct {
	f      *Form
	flush  *delivery.Flush
	last   timefmt.Last
	text   []byte // owned by Writer for reuse, as the next four
	picked []byte
	data   []byte
	time   []byte
	memo   jsonenc.Memo // of records that are sent whole
	concat Concat       // see Concat

	pending *pending // parts of the last record, see EachPart; nil: none
}

var writers spare.List[*Writer]

// NewWriter returns a Writer for the records of a flush.
func (f *Form) NewWriter(flush *delivery.Flush) *Writer {
	w, ok := writers.Get()
	if !ok {
		w = new(Writer)
	}
	w.f, w.flush = f, flush
	return w
}

// Free gives the Writer back, and the Concat that it made; nothing may use them
// or what they returned any more.
func (w *Writer) Free() {
	w.f, w.flush, w.concat.send = nil, nil, nil
	w.pending = nil
	if cap(w.text)+cap(w.picked)+cap(w.data)+cap(w.concat.texts) <= maxPooled {
		writers.Put(w)
	}
}

// Write returns an event as the service is to get it, or as it is to be put
// together with others (Concatenates): in at most the record limit less the key
// bytes of its partition key. The result is valid until the next call of a
// method. ok is false for a record that cannot be sent, which is dropped from the
// flush, and for one that is to be sent in parts: these EachPart gives.
func (w *Writer) Write(i int, ev *chunk.Event, key int) (data []byte, ok bool) {
	text, err := w.appendText(w.text[:0], ev)
	w.text = text
	switch {
	case err == errNoLogKey:
		w.flush.NoLogKey(i, w.f.pick.LogKey())
	case err != nil:
		w.flush.Malformed(i, err)
	case len(text) == 0:
		w.flush.DropRecord(delivery.Empty, i)
	case w.f.tooBig != parts.Cut && w.tooBig(i, ev, key):
	case w.f.compressor == nil:
		return w.cut(w.f.limit - key), true
	case w.f.concat:
		// Cut only if it does not fit compressed: Together sees to that.
		return w.end(), true
	default:
		return w.compress(w.end(), w.f.limit-key), true
	}
	return nil, false
}

// appendText appends the record's text without a newline.
func (w *Writer) appendText(dst []byte, ev *chunk.Event) (out []byte, err error) {
	f := w.f
	value, found := f.pick.Value(&w.picked, ev.Body)
	if found == fields.Whole {
		w.flush.LacksLogKey()
	}
	switch {
	case found == fields.Missing:
		return dst, errNoLogKey
	case found == fields.Value:
		if f.shape.ReplaceDots != nil && fields.IsContainer(value) {
			inner := jsonenc.Shape{ReplaceDots: f.shape.ReplaceDots}
			return inner.AppendJSON(dst, value, nil)
		}
		out, _, err = jsonenc.AppendText(dst, value)
	case f.shaped:
		if f.shape.TimeKey != "" {
			w.time = f.time.Append(w.time[:0], &w.last, ev.Time.Sec, ev.Time.Nsec)
		}
		out, err = w.memo.AppendShaped(dst, value, w.time, &f.shape)
	default:
		out, _, err = w.memo.AppendJSON(dst, value)
	}
	return out, err
}

// ending is what ends each record.
func (f *Form) ending() string {
	if f.newline {
		return "\n"
	}
	return ""
}

// end ends the text.
func (w *Writer) end() []byte {
	w.text = append(w.text, w.f.ending()...)
	return w.text
}

// cut ends the text, and cuts it to limit bytes if it has more.
func (w *Writer) cut(limit int) []byte {
	end := w.f.ending()
	if len(w.text)+len(end) <= limit {
		return w.end()
	}
	w.flush.Truncated("max_record_size", w.f.limit)
	w.text = w.text[:jsonenc.CutText(w.text, limit-len(truncatedMark)-len(end))]
	w.text = append(w.text, truncatedMark...)
	return w.end()
}

// compress returns text, which is ended, compressed in at most limit bytes. It
// is cut only when it does not fit all the same.
func (w *Writer) compress(text []byte, limit int) []byte {
	w.data = w.f.compressor.Append(w.data[:0], text)
	if len(w.data) <= limit {
		return w.data
	}
	w.flush.Truncated("max_record_size", w.f.limit)
	end := w.f.ending()
	text = bytes.TrimSuffix(text, []byte(end))
	cut := false
	for w.data = w.data[:0]; !cut; limit = len(w.data) - 1 {
		// Once more if all of it fits, but not with its newline.
		w.data, cut = w.f.compressor.AppendFit(w.data[:0], text, limit, jsonenc.CutText, truncatedMark+end)
	}
	return w.data
}

// Together returns the texts of one or more records that were put together as
// the service is to get them. They have at most Room bytes, less the key bytes
// of their partition key, unless it is one record alone. The result is valid
// until the next call of a method.
func (w *Writer) Together(texts []byte, key int) []byte {
	if w.f.compressor == nil {
		return texts
	}
	return w.compress(texts, w.f.limit-key)
}

// Room is how many bytes of text records that are put together may have, their
// partition key included. What is compressed only then must not become too large
// by it.
func (f *Form) Room() int {
	if f.concat && f.compressor != nil {
		return sure(f.limit)
	}
	return f.limit
}

// Concatenates says whether the options ask for simple_aggregation.
func (f *Form) Concatenates() bool { return f.concat }
