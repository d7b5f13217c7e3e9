package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// oddRecords is how many records each destination gets.
const oddRecords = 10_000

// scripts are texts of all scripts, directions and planes, and what writers of
// JSON get wrong.
var scripts = []string{
	"plain ASCII", "Żółć gęślą jaźń", "Привет, мир", "Καλημέρα κόσμε", "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया", "হ্যালো বিশ্ব", "வணக்கம் உலகம்",
	"สวัสดีชาวโลก", "ສະບາຍດີ", "မင်္ဂလာပါ", "გამარჯობა", "Բարեւ աշխարհ", "ሰላም ዓለም", "ᏏᏲ", "ᓄᓇᕗᑦ", "សួស្តី", "སྐར་མ", "你好世界", "繁體字", "こんにちは世界", "カタカナ", "안녕하세요 세계",
	"ᚠᚢᚦᚨᚱᚲ", "𐎀𐎁𐎂", "𓀀𓀁", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "𠜎𠜱𠝹", "😀 👩‍👩‍👧‍👦 🏳️‍🌈 🇯🇵 👍🏽", "e\u0301 combining, z\u0335\u0327\u0301a\u0322l\u0337g\u0321o",
	"right\u202eto left\u202c \u200e\u200f\u2066\u2069", "zero\u200bwidth\u200d\ufeff", "line\u2028and paragraph\u2029separators", "no\ufffecharacters\uffff\U0010ffff", "private \ue000\U000f0000",
	"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x1f\x7f", "tab\tline\nreturn\r", "\x1b[31mcolor\x1b[0m", "C1 \u0080\u0085\u009f",
	`quote " backslash \ slash / \u0041 \" \\`, `<script>&amp;</script>`, `{"json":"in JSON","n":1}`, "",
	"\xff", "\xc0\xaf overlong", "\xe0\x80\x80", "\xed\xa0\x80 surrogate \xed\xbf\xbf", "\xf4\x90\x80\x80 above", "cut \xe6\x97", "\xf0\x9f\x98", "\x80\x80lone", "Latin-1 caf\xe9", "\xf8\x88\x80\x80\x80", "\xe6\x97\xa5\xff\xe6\x97\xa5",
	"Shift_JIS \x93\xfa\x96\x7b", "\xfe\xff\x00U\x00T\x00F\x001\x006",
}

// numbers that are hard to keep: the ends of every width, of what a float
// holds, and what JSON has no text for.
var numbers = []any{
	int64(0), int64(-1), int64(-32), int64(-33), int64(127), int64(128), int64(-128), int64(-129), int64(32767), int64(-32769), int64(1)<<31 - 1, int64(-1) << 31, int64(1) << 53, int64(1)<<53 + 1,
	int64(math.MinInt64), int64(math.MaxInt64), uint64(math.MaxInt64) + 1, uint64(math.MaxUint64), uint64(255), uint64(65536), uint64(1) << 32,
	0.0, math.Copysign(0, -1), 0.1, 1.0 / 3, 1e21, 1e20, 1e-6, 1e-7, 123456789.123456789, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), math.NaN(),
	float32(0.1), float32(math.MaxFloat32), float32(math.SmallestNonzeroFloat32), float32(math.Inf(-1)), float32(16777216), 1e22, 5e-324, 9007199254740993.0,
}

// maker makes records from a fixed seed, so that a failure comes again.
type maker struct {
	r *rand.Rand
	e *msgpack.Encoder
	b *bytes.Buffer
}

func newMaker(seed uint64) *maker {
	b := new(bytes.Buffer)
	return &maker{rand.New(rand.NewPCG(seed, 7)), msgpack.NewEncoder(b), b}
}

// must is for errors of writing into memory: there are none.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// body returns a map that is a record's body. Every eighth is of one oddity
// alone, the others are mixed.
func (m *maker) body(i int) []byte {
	m.b.Reset()
	switch i % 8 {
	case 0:
		m.oddity(i / 8)
	default:
		m.object(1+m.r.IntN(6), 0)
	}
	return bytes.Clone(m.b.Bytes())
}

// oddity writes the i-th of a list of records that are odd in one way.
func (m *maker) oddity(i int) {
	one := func(write func()) {
		must(m.e.EncodeMapLen(1))
		must(m.e.EncodeString("odd"))
		write()
	}
	raw := func(s string) { m.b.WriteString(s) }
	list := []func(){
		func() { must(m.e.EncodeMapLen(0)) },
		func() { raw("\xde\x00\x00") }, // the same, wider than it needs to be
		func() { raw("\xdf\x00\x00\x00\x01\xda\x00\x01a\xd9\x01b") },
		func() { one(func() { raw("\x80") }) },
		func() { one(func() { raw("\x90") }) },
		func() { one(func() { raw("\xc4\x05a\xff\x00\"\n") }) },
		func() { one(func() { raw("\xc5\x00\x02ab") }) },
		func() { raw("\x81\xc4\x03b\xffy\xc4\x00") }, // a key that is bin
		func() { raw("\x83\xa1a\x01\xa1a\x02\xa1a\x03") },
		func() {
			raw("\x87\x05\x01\xc0\x02\xc3\x03\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\x04\x92\x01\x02\x05\x81\xa1k\xa1v\x06\xff\x07")
		},
		func() { one(func() { raw("\xd4\x01a") }) },
		func() { one(func() { raw("\xd8\xffabcdefghijklmnop") }) },
		func() { one(func() { raw("\xc7\x03\x7fabc") }) },
		func() { one(func() { raw("\xc7\x00\x05") }) },
		func() { one(func() { raw("\xd7\x00\x65\x53\xf1\x00\x00\x00\x00\x01") }) }, // Fluent Bit's time
		func() { one(func() { raw("\xd7\x00\x65\x53\xf1\x00\xff\xff\xff\xff") }) }, // with too many nanoseconds
		func() { one(func() { raw("\xc7\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00") }) },
		func() { one(func() { raw("\xd6\xff\x65\x53\xf1\x00") }) }, // msgpack's own timestamp
		func() { one(func() { m.nested(120, "\x91") }) },
		func() { one(func() { m.nested(120, "\x81\xa1k") }) },
		func() { one(func() { must(m.e.EncodeString(strings.Repeat("x", 20_000))) }) },
		func() { one(func() { must(m.e.EncodeString(strings.Repeat("\"\\\n日", 3_000))) }) },
		func() { one(func() { must(m.e.EncodeString(strings.Repeat("\x01", 5_000))) }) },
		func() { m.object(300, 0) },
		func() {
			one(func() {
				must(m.e.EncodeArrayLen(len(numbers)))
				for _, n := range numbers {
					must(m.e.Encode(n))
				}
			})
		},
		func() {
			must(m.e.EncodeMapLen(len(scripts)))
			for _, s := range scripts {
				must(m.e.EncodeString(s))
				must(m.e.EncodeString(s))
			}
		},
	}
	list[i%len(list)]()
}

// nested writes n containers within each other.
func (m *maker) nested(n int, open string) {
	m.b.WriteString(strings.Repeat(open, n))
	m.b.WriteString("\xc0")
}

func (m *maker) object(n, depth int) {
	must(m.e.EncodeMapLen(n))
	for range n {
		if m.r.IntN(40) == 0 {
			must(m.e.EncodeInt(m.r.Int64N(1000) - 500))
		} else {
			must(m.e.EncodeString(m.text()))
		}
		m.value(depth + 1)
	}
}

func (m *maker) value(depth int) {
	switch k := m.r.IntN(12); {
	case k == 0 && depth < 12:
		m.object(m.r.IntN(4), depth)
	case k == 1 && depth < 12:
		n := m.r.IntN(4)
		must(m.e.EncodeArrayLen(n))
		for range n {
			m.value(depth + 1)
		}
	case k == 2:
		must(m.e.EncodeNil())
	case k == 3:
		must(m.e.EncodeBool(m.r.IntN(2) == 0))
	case k == 4:
		must(m.e.EncodeBytes([]byte(m.text())))
	case k == 5:
		// Any bits at all, NaN and subnormals among them.
		m.b.WriteByte(0xcb)
		must(binary.Write(m.b, binary.BigEndian, m.r.Uint64()))
	case k < 8:
		must(m.e.Encode(numbers[m.r.IntN(len(numbers))]))
	default:
		must(m.e.EncodeString(m.text()))
	}
}

func (m *maker) text() string {
	s := scripts[m.r.IntN(len(scripts))]
	switch m.r.IntN(6) {
	case 0: // any bytes
		b := make([]byte, m.r.IntN(40))
		for i := range b {
			b[i] = byte(m.r.Uint32())
		}
		return string(b)
	case 1: // any characters, in any plane
		var b strings.Builder
		for range m.r.IntN(20) {
			b.WriteRune(m.r.Int32N(0x110000))
		}
		return b.String()
	case 2: // cut anywhere, and something else behind it
		return s[:m.r.IntN(len(s)+1)] + scripts[m.r.IntN(len(scripts))]
	}
	return s
}

// load is what is shipped: records with times of their own, a millisecond apart.
type load struct {
	bodies [][]byte
	begin  time.Time
}

func newLoad(seed uint64, n int) load {
	m := newMaker(seed)
	l := load{begin: time.Now().Add(-time.Duration(n) * time.Millisecond).Truncate(time.Millisecond)}
	for i := range n {
		l.bodies = append(l.bodies, m.body(i))
	}
	return l
}

func (l load) millis(i int) int64 { return l.begin.UnixMilli() + int64(i) }

// event appends record i as Fluent Bit does: in the form of 2.1 and later, or the
// older one.
func (l load) event(b []byte, i int, old bool) []byte {
	ms := l.millis(i)
	stamp := binary.BigEndian.AppendUint32([]byte("\xd7\x00"), uint32(ms/1000))
	stamp = binary.BigEndian.AppendUint32(stamp, uint32(ms%1000*1e6)+uint32(i%1e6))
	if old {
		b = append(append(b, 0x92), stamp...)
	} else {
		b = append(append(append(b, 0x92, 0x92), stamp...), 0x80)
	}
	return append(b, l.bodies[i]...)
}

// chunks puts size events at a time into one.
func (l load) chunks(size int) (all [][]byte) {
	for i := 0; i < len(l.bodies); i += size {
		var b []byte
		for k := i; k < min(i+size, len(l.bodies)); k++ {
			b = l.event(b, k, k%3 == 0)
		}
		all = append(all, b)
	}
	return all
}

// check compares all records, in order, with the texts that came back.
func (l load) check(t *testing.T, got []string) {
	t.Helper()
	if len(got) != len(l.bodies) {
		t.Errorf("%d records came back, want %d", len(got), len(l.bodies))
	}
	bad := 0
	for i := range min(len(got), len(l.bodies)) {
		if err := compare(l.bodies[i], got[i]); err != nil {
			if bad++; bad <= 5 {
				t.Errorf("record %d: %v\nmsgpack %.300q\nJSON %.300s", i, err, l.bodies[i], got[i])
			}
		}
	}
	if bad > 0 {
		t.Errorf("%d of %d records differ", bad, len(got))
	}
	fmt.Printf("delivered and compared: %d records, %d differ\n", len(got), bad)
}
