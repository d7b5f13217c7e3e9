package delivery

import (
	"errors"
	"io"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/spare"
)

// Walk calls record for each of the chunk's records that is not settled yet;
// ev is good until record returns. What is no record is dropped and counted, and
// so is one over which record panics: what was half written of it is for
// record to take back. The error says where the chunk stops being readable:
// then what came before is good, and the chunk is not worth asking for again,
// since it would come to the same.
func (f *Flush) Walk(record func(i int, ev *chunk.Event)) (broken error) {
	return f.walk(f.chunk.Data, record)
}

// WalkData does the same with what records were made of in the caller: all of
// the chunk's, in one call or several, and the same ones whenever it comes again.
func (f *Flush) WalkData(data []byte, record func(i int, ev *chunk.Event)) (broken error) {
	f.made = true
	return f.walk(data, record)
}

// walking is what a walk takes, which hundreds of flushes that wait need not hold.
type walking struct {
	reader chunk.Reader
	event  chunk.Event // one for all: its address goes to a function that is not known here
}

var walks spare.List[*walking]

func (f *Flush) walk(data []byte, record func(i int, ev *chunk.Event)) (broken error) {
	w, ok := walks.Get()
	if !ok {
		w = new(walking)
	}
	w.reader = chunk.NewReader(data)
	f.walking = w
	defer func() {
		f.broken = f.broken || broken != nil
		f.walking, *w = nil, walking{} // the chunk is Fluent Bit's
		walks.Put(w)
	}()
	defer caught(&broken)
	for {
		var err error
		if w.event, err = w.reader.Next(); err == nil {
			if i, fresh := f.Record(); fresh {
				f.walkOne(record, i, &w.event)
			}
			continue
		}
		if err == io.EOF {
			return nil
		}
		var bad *chunk.RecordError
		if !errors.As(err, &bad) {
			return err
		}
		if i, fresh := f.Record(); fresh {
			f.Malformed(i, bad)
		}
	}
}

// Walked returns how many bytes were walked so far of those that are being walked, and
// how many are left.
func (f *Flush) Walked() (walked, left int) {
	if f.walking == nil {
		return 0, 0
	}
	return f.walking.reader.Offset()
}

func (f *Flush) walkOne(record func(i int, ev *chunk.Event), i int, ev *chunk.Event) {
	defer f.guardRecord(i)
	record(i, ev)
}

// Malformed drops a record that cannot be read or written.
func (f *Flush) Malformed(i int, err error) {
	f.giveUpOne(i, Cause{Why: Malformed, Err: err})
	if f.d.Said.Repeated("malformed") {
		return
	}
	f.d.Said.Warn("malformed", "a record of tag %q was dropped: %v", f.chunk.Tag, err)
}

// NoLogKey drops a record that lacks the key which option log_key names.
func (f *Flush) NoLogKey(i int, key string) {
	f.giveUpOne(i, Cause{Why: MissingKey, Text: key})
	if f.d.Said.Repeated("log_key") {
		return
	}
	f.d.Said.Warn("log_key", "a record of tag %q was dropped: it has no key %q, which option log_key names", f.chunk.Tag, key)
}

// LacksLogKey counts a record that is sent whole, as it lacks the key which option
// log_key names and option log_key_missing asks for that.
func (f *Flush) LacksLogKey() { f.d.Add(SentWhole, 1) }

// Truncated counts a record that was cut to limit bytes, and says which option
// has the limit.
func (f *Flush) Truncated(option string, limit int) {
	f.d.Add(Truncated, 1)
	if f.d.Said.Repeated("truncated") {
		return
	}
	f.d.Said.Warn("truncated", "a record of tag %q was cut to option %s, %d bytes", f.chunk.Tag, option, limit)
}

// Split counts a record that is larger than limit bytes and sent in parts, and says
// which option has the limit.
func (f *Flush) Split(option string, limit int) {
	f.d.Add(Parted, 1)
	if f.d.Said.Repeated("split") {
		return
	}
	f.d.Said.Warn("split", "a record of tag %q is larger than option %s, %d bytes, and is sent in parts", f.chunk.Tag, option, limit)
}

// TooLarge drops a record that is larger than limit bytes, and says which option
// has the limit.
func (f *Flush) TooLarge(i int, option string, limit int) {
	f.giveUpOne(i, Cause{Why: TooLarge, Text: option})
	if f.d.Said.Repeated("too large") {
		return
	}
	f.d.Said.Warn("too large", "a record of tag %q was dropped: it is larger than option %s, %d bytes", f.chunk.Tag, option, limit)
}

// giveUpOne gives up the record in hand.
func (f *Flush) giveUpOne(i int, c Cause) {
	c.Group, c.Stream = f.Group, f.Stream
	f.GiveUp(c, 1, func(int) int { return i })
}

// Finish ends a flush like End, says when its chunk is given up, and writes the
// letters of all that is.
func (f *Flush) Finish(broken error) Result {
	result := f.End(broken)
	if result == Error {
		f.d.Said.Error("broken chunk", "a chunk of tag %q is given up, what could be read of it was sent: %v", f.chunk.Tag, broken)
	} else {
		broken = nil // not yet
	}
	f.sendLetters(broken)
	return result
}
