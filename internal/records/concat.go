package records

// Concat puts records together, one behind the other, into records as large as
// the service takes (simple_aggregation). Services count and bill by the record,
// Firehose in steps of 5 KB: https://aws.amazon.com/firehose/pricing/
type Concat struct {
	w       *Writer
	send    func(data []byte, indexes []int)
	texts   []byte // owned by Concat for reuse, as indexes
	indexes []int
}

// Concat returns an empty Concat of records without partition keys, of which a
// Writer has one. It gives each record to send to the function, which must copy
// what it keeps.
func (w *Writer) Concat(send func(data []byte, indexes []int)) *Concat {
	w.concat = Concat{w: w, send: send, texts: w.concat.texts[:0], indexes: w.concat.indexes[:0]}
	return &w.concat
}

// Add puts the text of the chunk's record i behind what is there. What would
// become too large by it is sent first.
func (c *Concat) Add(text []byte, i int) {
	if len(c.texts)+len(text) > c.w.f.Room() {
		c.Flush()
	}
	c.texts = append(c.texts, text...)
	c.indexes = append(c.indexes, i)
}

// Flush sends what is there.
func (c *Concat) Flush() {
	if len(c.indexes) == 0 {
		return
	}
	texts, indexes := c.texts, c.indexes
	// First: should the rest panic, these are not sent a second time.
	c.texts, c.indexes = c.texts[:0], c.indexes[:0]
	c.send(c.w.Together(texts, 0), indexes)
}
