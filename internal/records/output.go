package records

import (
	"context"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/template"
)

// Config is what the options of an output say that the two plugins have in common.
// Each option's default stands where it is read and in the README's table.
type Config struct {
	AWS         awsx.Options
	Stream      string             // name or ARN
	StreamOf    *template.Template // instead, of tags
	Letters     string             // dead_letter_stream, as Stream; "": none
	Form        Form
	Concurrency int // calls in flight within one flush
}

// InParallel is how many calls a flush has in flight where nothing else is asked for, and
// the service takes its time (see fewSenders). A chunk is at most 2 MB: of records of 1 KB
// that is five calls, of 100 bytes forty. The sooner they are through, the sooner Fluent
// Bit has the memory of the chunk back, which is more than that of the calls (make
// bench-peers CASES=small:4:50).
const InParallel = 32

// ParseStreams reads an option that names a stream, and dead_letter_stream. check
// says what is wrong with a name that is no template of the tag.
func (c *Config) ParseStreams(s *options.Set, option string, check func(option, stream string)) {
	one := func(option, stream string) *template.Template {
		t, isTemplate := ParseStream(s, option)
		if stream != "" && !isTemplate {
			check(option, stream)
		}
		return t
	}
	c.Stream = s.Required(option)
	c.StreamOf = one(option, c.Stream)
	c.Letters = s.String("dead_letter_stream", "")
	one("dead_letter_stream", c.Letters)
}

// Kind is where the services differ.
type Kind struct {
	Name      string // as all of these, see Service
	Limits    Limits
	Bill      *Bill
	Verdict   func(err error) delivery.Verdict
	Throttled func(code string) bool
	Longest   int // characters of a stream's name
	Wires     func(stream string) (json, cbor *Wire)
	Put       func(ctx context.Context, stream string, records int, body *awsx.Body, opts ...awsx.BodyOption) (awsx.RecordsAnswer, error)

	Letters delivery.LetterOutput
}

// Output is one output instance. It is safe for concurrent use.
type Output struct {
	*delivery.Delivery
	Streams *Streams
	session *awsx.Session
	ordered bool // one call at a time, so that records keep their order
}

// Open starts an output with the options that get gives, which s has collected the
// problems of. kind has the service, reached by a session.
func Open(env delivery.Env, get options.Getter, s *options.Set, c *Config, kind func(*awsx.Session) Kind) (*Output, error) {
	o := &Output{Delivery: delivery.New(env, s), ordered: c.Concurrency == 1}
	if err := s.Err(); err != nil {
		return nil, err
	}
	var err error
	if o.session, err = awsx.Load(context.Background(), c.AWS); err != nil {
		return nil, err
	}
	k := kind(o.session)
	o.Streams = NewStreams(c.Stream, c.StreamOf, k.Longest, func(stream string) *Service { return o.service(&k, c, stream) })
	if c.Letters == "" {
		return o, nil
	}
	if err := o.OpenLetters(env, get, k.Letters); err != nil {
		o.session.Close()
		return nil, err
	}
	return o, nil
}

// service is how calls for a stream are made.
func (o *Output) service(k *Kind, c *Config, stream string) *Service {
	json, cbor := k.Wires(stream)
	return &Service{
		Delivery:    o.Delivery,
		Name:        k.Name,
		Destination: stream,
		JSON:        json,
		CBOR:        cbor,
		Limits:      k.Limits,
		Concurrency: c.Concurrency,
		Bill:        k.Bill,
		Put: func(ctx context.Context, n int, body *awsx.Body, opts ...awsx.BodyOption) (awsx.RecordsAnswer, error) {
			return k.Put(ctx, stream, n, body, opts...)
		},
		Verdict:    k.Verdict,
		Throttled:  k.Throttled,
		Invalidate: o.session.Invalidate,
	}
}

// Room is how many flushes are worth having under way at a time, and with how many
// bytes of chunks. Small chunks share calls, so the more of them there are at a time
// the fewer calls they take (make bench-peers CASES=trickle:1:50). Of large ones the
// calls of a flush go side by side, so one chunk at a time, and nothing beside it, is
// enough for a service that answers at once (CASES=kubernetes:4:0,small:4:0,big:4:0);
// of one that takes its time it takes more of them where a chunk is one call
// (CASES=big:4:50).
// Where the calls of a chunk go side by side, chunks need no order either; where they
// go one after the other, it takes more chunks.
func (o *Output) Room() delivery.Room {
	if o.ordered {
		return delivery.Room{Flushes: 256, Bytes: 16 << 20, InOrder: 16 << 20}
	}
	return delivery.Room{Flushes: 256, Bytes: 2 << 20, Late: 16 << 20}
}

// Close ends the instance. No flush may be under way.
func (o *Output) Close() {
	o.session.Close()
	o.Delivery.Close()
}
