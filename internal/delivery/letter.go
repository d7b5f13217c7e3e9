package delivery

import (
	"encoding/base64"
	"errors"
	"strconv"
	"time"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/jsonenc"
)

const (
	// maxRaw bounds what a letter quotes of bytes that are no record.
	maxRaw   = 64 << 10
	maxError = 1 << 10 // bytes of a cause in words
	// letterHead is room for what a letter has beside its record, by far.
	letterHead = 8 << 10
)

// letterWriter writes the letters of one flush, one at a time.
type letterWriter struct {
	flush *Flush
	line  []byte // with its newline; owned by letterWriter for reuse
	text  []byte // a record as JSON, likewise
}

// each writes the letters of records, which are in order, and calls done after
// each. Records that were made of the chunk are no longer there.
func (w *letterWriter) each(list []dead, done func(*Cause)) {
	if w.flush.made {
		for _, d := range list {
			c := &w.flush.causes[d.cause]
			w.begin(c.Why.String(), c.text(), c, false, chunk.Time{})
			w.line = append(w.line, `"record":null}`+"\n"...)
			done(c)
		}
		return
	}
	data := w.flush.chunk.Data
	r := chunk.NewReader(data)
	for i := 0; len(list) > 0; i++ {
		ev, err := r.Next()
		var bad *chunk.RecordError
		if err != nil && !errors.As(err, &bad) {
			return // cannot be: they were read before
		}
		if list[0].record != i {
			continue
		}
		c := &w.flush.causes[list[0].cause]
		w.begin(c.Why.String(), c.text(), c, err == nil, ev.Time)
		if bad != nil {
			w.raw(data[bad.Offset:bad.End])
		} else {
			w.record(ev.Body)
		}
		w.line = append(w.line, "}\n"...)
		done(c)
		list = list[1:]
	}
}

// rest writes the letter of what cannot be read of the chunk.
func (w *letterWriter) rest(broken error) {
	data := w.flush.chunk.Data
	var syntax *chunk.SyntaxError
	if errors.As(broken, &syntax) {
		data = data[syntax.Start:]
	}
	w.begin("broken_chunk", broken.Error(), &Cause{Stream: w.flush.Stream}, false, chunk.Time{})
	w.raw(data)
	w.line = append(w.line, "}\n"...)
}

func (w *letterWriter) begin(reason, text string, c *Cause, timed bool, at chunk.Time) {
	w.line = append(w.line[:0], '{')
	if timed {
		w.line = append(w.line, `"time":"`...)
		w.line = time.Unix(at.Sec, int64(at.Nsec)).UTC().AppendFormat(w.line, time.RFC3339Nano)
		w.line = append(w.line, `",`...)
	}
	w.member("output", w.flush.d.carry.name)
	w.member("tag", w.flush.chunk.Tag)
	if c.Group != "" {
		w.member("log_group", c.Group)
	}
	if c.Stream != "" {
		w.member("stream", c.Stream)
	}
	w.member("reason", reason)
	w.member("error", text[:jsonenc.CutText([]byte(text), maxError)])
}

func (w *letterWriter) member(name, value string) {
	w.line = append(append(append(w.line, '"'), name...), `":`...)
	w.line = append(jsonenc.AppendQuoted(w.line, value), ',')
}

// raw writes bytes that cannot be read, as base64 and only so many.
func (w *letterWriter) raw(data []byte) {
	w.line = append(w.line, `"raw_size":`...)
	w.line = strconv.AppendInt(w.line, int64(len(data)), 10)
	w.line = append(w.line, `,"raw":"`...)
	w.line = base64.StdEncoding.AppendEncode(w.line, data[:min(len(data), maxRaw)])
	w.line = append(w.line, '"')
}

// record writes a record. What a stream would not take is cut: then it stands there
// as text, whatever is missing.
func (w *letterWriter) record(body []byte) {
	text, ok := w.json(body)
	limit := w.flush.d.letters.limit
	switch {
	case !ok:
		w.raw(body)
	case w.flush.d.letters.side != nil && len(w.line)+len(text) > limit-len(`"record":}`):
		w.line = append(w.line, `"record_size":`...)
		w.line = strconv.AppendInt(w.line, int64(len(text)), 10)
		w.line = append(w.line, `,"record_text":`...)
		// Of JSON, no byte becomes more than two by being quoted.
		w.line = jsonenc.AppendQuoted(w.line, text[:jsonenc.CutText(text, (limit-letterHead)/2)])
	default:
		w.line = append(append(w.line, `"record":`...), text...)
	}
}

// json returns a record as JSON. It may be the one that cannot be written, or over
// which the encoder panics.
func (w *letterWriter) json(body []byte) (text []byte, ok bool) {
	defer func() {
		if recover() != nil {
			text, ok = nil, false
		}
	}()
	text, _, err := jsonenc.AppendJSON(w.text[:0], body)
	w.text = text
	return text, err == nil
}
