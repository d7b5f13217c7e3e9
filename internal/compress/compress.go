// Package compress compresses single records, which Kinesis and Firehose store
// and hand on as they are.
//
// One record gives one whole stream of its format, the same bytes for the same
// input each time:
//
//	gzip    RFC 1952, without a time or a name
//	zlib    RFC 1950
//	zstd    one frame with its content size and without a checksum, as Fluent Bit
//	        makes it (src/flb_zstd.c)
//	snappy  the raw block format, not the framing format, as Fluent Bit makes it
//	        (src/aws/flb_aws_compress.c, src/flb_snappy.c)
package compress

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"aws-for-fluent-bit/internal/spare"
)

// Names are the formats New knows. AWS's Go plugins have gzip and zlib, Fluent
// Bit's C plugins gzip, zstd and snappy.
var Names = []string{"gzip", "zlib", "zstd", "snappy"}

// A Compressor compresses records in one format. Many threads may use one.
type Compressor struct {
	newEncoder func() encoder
	encoders   spare.List[encoder] // tables of 10 KB to 1 MB each
}

// encoder holds one format's tables. One thread at a time may use it.
type encoder interface {
	// append adds the compressed form of src to dst, which must not overlap.
	append(dst, src []byte) []byte
}

// New returns the Compressor of one of Names.
func New(name string) (*Compressor, error) {
	c := &Compressor{}
	switch name {
	case "gzip":
		c.newEncoder = func() encoder { return &gzipEncoder{w: gzip.NewWriter(nil)} }
	case "zlib":
		c.newEncoder = func() encoder { return &zlibEncoder{w: zlib.NewWriter(nil)} }
	case "zstd":
		if _, err := newZstd(); err != nil {
			return nil, fmt.Errorf("cannot set up zstd: %w", err)
		}
		c.newEncoder = func() encoder { e, _ := newZstd(); return zstdEncoder{e} }
	case "snappy":
		c.newEncoder = func() encoder { return snappyEncoder{} }
	default:
		return nil, fmt.Errorf("cannot compress as %q: allowed is %s", name, strings.Join(Names, ", "))
	}
	return c, nil
}

// FastGzip returns a Compressor of gzip at its fastest level, for what is only on
// its way: whole requests.
func FastGzip() *Compressor {
	return &Compressor{newEncoder: func() encoder {
		w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // an error is of the level
		return &gzipEncoder{w: w}
	}}
}

// Append adds the compressed form of src to dst. The two must not overlap.
func (c *Compressor) Append(dst, src []byte) []byte {
	e, ok := c.encoders.Get()
	if !ok {
		e = c.newEncoder()
	}
	dst = e.append(dst, src)
	c.encoders.Put(e)
	return dst
}

type gzipEncoder struct {
	w   *gzip.Writer
	out sink
}

func (e *gzipEncoder) append(dst, src []byte) []byte {
	e.out.buf = dst
	e.w.Reset(&e.out)
	e.w.ModTime = noTime
	write(e.w, src)
	return e.out.take()
}

// noTime is what a gzip header takes for "no time". Left alone, the package
// writes the year 1 into it, as far as 32 bits hold it.
var noTime = time.Unix(0, 0)

type zlibEncoder struct {
	w   *zlib.Writer
	out sink
}

func (e *zlibEncoder) append(dst, src []byte) []byte {
	e.out.buf = dst
	e.w.Reset(&e.out)
	write(e.w, src)
	return e.out.take()
}

// write puts all of src through w. Neither call can fail: the two writers only
// pass on the errors of what they write to, and a sink has none.
func write(w io.WriteCloser, src []byte) {
	_, _ = w.Write(src)
	_ = w.Close()
}

// sink appends what is written to it.
type sink struct{ buf []byte }

func (s *sink) Write(p []byte) (int, error) {
	s.buf = append(s.buf, p...)
	return len(p), nil
}

// take gives the bytes back to their owner.
func (s *sink) take() []byte {
	b := s.buf
	s.buf = nil
	return b
}

// newZstd returns an encoder at the level Fluent Bit's C plugins use, 1. The
// window bounds what a large record makes the encoder keep.
func newZstd() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1), // the pool is there for the rest
		zstd.WithWindowSize(1<<20),
		zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderCRC(false),
		zstd.WithSingleSegment(true), // writes the content size of small records too
		zstd.WithZeroFrames(true))    // an empty record still gets a frame
}

type zstdEncoder struct{ e *zstd.Encoder }

func (z zstdEncoder) append(dst, src []byte) []byte { return z.e.EncodeAll(src, dst) }

type snappyEncoder struct{}

func (snappyEncoder) append(dst, src []byte) []byte {
	n := max(snappy.MaxEncodedLen(len(src)), 0)
	dst = slices.Grow(dst, n)
	block := snappy.Encode(dst[len(dst):len(dst)+n], src)
	// The block is in dst already, as there was room; otherwise this copies it.
	return append(dst, block...)
}
