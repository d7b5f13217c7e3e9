package records

// Concat puts records together, one behind the other, into records as large as
// the service takes (simple_aggregation). Both services count and bill by the
// record, Firehose in steps of 5 KB: https://aws.amazon.com/firehose/pricing/
type Concat struct {
	f       *Form
	key     int // bytes of the partition key that each record goes with
	text    []byte
	buf     []byte // owned by Concat for reuse
	indexes []int
}

// NewConcat returns an empty Concat for records with a partition key of key bytes.
func (f *Form) NewConcat(key int) *Concat { return &Concat{f: f, key: key} }

// Add puts the text of the chunk's record i behind what is there. What has
// become full by it goes to send first.
func (c *Concat) Add(text []byte, i int, send func(data []byte, indexes []int)) {
	if len(c.text)+len(text) > c.f.Room(c.key) {
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
	var data []byte
	data, c.buf = c.f.Compress(c.text, c.buf)
	send(data, c.indexes)
	c.text, c.indexes = c.text[:0], c.indexes[:0]
}
