package firehose

import (
	"context"
	"testing"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/records/recordstest"
)

// A panic while the last records are put together costs a flush, not Fluent Bit.
func TestPanicAtTheEnd(t *testing.T) {
	log := new(recordstest.Lines)
	counters := new(delivery.Counters)
	p, err := New(recordstest.Env("firehose", log, counters), subject.Getter("simple_aggregation", "true"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	f := p.Begin(delivery.Chunk{Tag: "tag"})
	f.Record()
	together := p.Form.NewWriter(f).Concat(func([]byte, []int) { panic("a fault") })
	together.Add([]byte("data"), 0)
	finish(f, together)
	if got := f.Finish(nil); got != delivery.Retry {
		t.Errorf("got %v, want %v", got, delivery.Retry)
	}
	log.Want(t, "error", "a panic while sending a chunk of tag \"tag\"")
	if counters.Pending() != 1 {
		t.Errorf("the account: %v", counters)
	}
}

// TestLettersFit: a dead letter takes no more than a record may have, with its newline.
func TestLettersFit(t *testing.T) {
	session, err := awsx.Load(context.Background(), awsx.Options{Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if got := new(Plugin).kind(session).Letters.Bytes; got != 1_024_000-1 {
		t.Errorf("got %d bytes", got)
	}
}
