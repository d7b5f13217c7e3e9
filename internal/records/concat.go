package records

// Concat puts records together, one behind the other, into records as large as
// the service takes (simple_aggregation). Both services count and bill by the
// record, Firehose in steps of 5 KB: https://aws.amazon.com/firehose/pricing/
type Concat struct {
	f       *Form
	key     int // bytes of the partition key that each record goes with
	text    []byte
	data    []byte // owned by Concat for reuse
	indexes []int
}

// NewConcat returns an empty Concat for records with a partition key of key bytes.
func (f *Form) NewConcat(key int) *Concat { return &Concat{f: f, key: key} }

// Concatenates says whether the options ask for simple_aggregation.
func (f *Form) Concatenates() bool { return f.concat }

// Add puts the text of the chunk's record i behind what is there. What has
// become full by it goes to send first.
func (c *Concat) Add(text []byte, i int, send func(data []byte, indexes []int)) {
	if len(c.text)+len(text) > c.f.room(c.key) {
		c.Flush(send)
	}
	c.text = append(c.text, text...)
	c.indexes = append(c.indexes, i)
}

// Flush gives what is there to send, which must copy what it keeps.
func (c *Concat) Flush(send func(data []byte, indexes []int)) {
	if len(c.indexes) == 0 {
		return
	}
	data := c.text
	if c.f.compressor != nil {
		c.data = c.f.compressor.Append(c.data[:0], c.text)
		data = c.data
	}
	send(data, c.indexes)
	c.text, c.indexes = c.text[:0], c.indexes[:0]
}
