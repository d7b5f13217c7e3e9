package conformance

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// compare says where the JSON text is not what the msgpack value should have
// become. Both are read by decoders that the plugins do not use, token by token:
// the order of keys and duplicate keys count. The rules are those of the README.
func compare(value []byte, text string) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("not UTF-8: %q", text)
	}
	in := bytes.NewReader(value)
	if err := (&pair{msgpack.NewDecoder(in), newJSON(text)}).whole(); err != nil {
		return err
	}
	if in.Len() > 0 {
		return fmt.Errorf("%d bytes of msgpack are left", in.Len())
	}
	return nil
}

func newJSON(text string) *json.Decoder {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return d
}

// pair is a msgpack value and a JSON text that are read side by side.
type pair struct {
	want *msgpack.Decoder
	got  *json.Decoder
}

// whole compares one value, behind which the text ends.
func (p *pair) whole() error {
	if err := p.value(); err != nil {
		return err
	}
	if t, err := p.got.Token(); err != io.EOF {
		return fmt.Errorf("%v, %v behind the value", t, err)
	}
	return nil
}

// text reads what became of a str or bin, as far as a JSON string can tell it.
func repaired(b []byte) string { return string([]rune(string(b))) }

func (p *pair) is(want json.Token) error {
	got, err := p.got.Token()
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("got %.100q, want %.100q", fmt.Sprint(got), fmt.Sprint(want))
	}
	return nil
}

func (p *pair) value() error {
	c, err := p.want.PeekCode()
	if err != nil {
		return err
	}
	switch {
	case c == msgpcode.Nil:
		if err := p.want.DecodeNil(); err != nil {
			return err
		}
		return p.is(nil)
	case c == msgpcode.False || c == msgpcode.True:
		b, err := p.want.DecodeBool()
		if err != nil {
			return err
		}
		return p.is(b)
	case msgpcode.IsString(c) || msgpcode.IsBin(c):
		b, err := p.want.DecodeBytes()
		if err != nil {
			return err
		}
		return p.is(repaired(b))
	case c == msgpcode.Float:
		f, err := p.want.DecodeFloat32()
		if err != nil {
			return err
		}
		return p.float(float64(f), 32)
	case c == msgpcode.Double:
		f, err := p.want.DecodeFloat64()
		if err != nil {
			return err
		}
		return p.float(f, 64)
	case c == msgpcode.Uint64:
		n, err := p.want.DecodeUint64()
		if err != nil {
			return err
		}
		return p.is(json.Number(strconv.FormatUint(n, 10)))
	case msgpcode.IsFixedArray(c) || c == msgpcode.Array16 || c == msgpcode.Array32:
		return p.list()
	case msgpcode.IsFixedMap(c) || c == msgpcode.Map16 || c == msgpcode.Map32:
		return p.object()
	case msgpcode.IsExt(c):
		return p.ext()
	}
	n, err := p.want.DecodeInt64()
	if err != nil {
		return err
	}
	return p.is(json.Number(strconv.FormatInt(n, 10)))
}

func (p *pair) float(want float64, bits int) error {
	if math.IsNaN(want) || math.IsInf(want, 0) {
		return p.is(nil)
	}
	t, err := p.got.Token()
	if err != nil {
		return err
	}
	n, ok := t.(json.Number)
	f, err := strconv.ParseFloat(string(n), bits)
	if !ok || err != nil || f != want || math.Signbit(f) != math.Signbit(want) {
		return fmt.Errorf("got %v, want %v", t, want)
	}
	return nil
}

func (p *pair) list() error {
	n, err := p.want.DecodeArrayLen()
	if err != nil {
		return err
	}
	if err := p.is(json.Delim('[')); err != nil {
		return err
	}
	for i := range n {
		if err := p.value(); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return p.is(json.Delim(']'))
}

func (p *pair) object() error {
	n, err := p.want.DecodeMapLen()
	if err != nil {
		return err
	}
	if err := p.is(json.Delim('{')); err != nil {
		return err
	}
	for i := range n {
		if err := p.key(); err != nil {
			return fmt.Errorf("key %d: %w", i, err)
		}
		if err := p.value(); err != nil {
			return fmt.Errorf("value of key %d: %w", i, err)
		}
	}
	return p.is(json.Delim('}'))
}

// key compares a key of a map: one that is no string holds its own JSON text.
func (p *pair) key() error {
	c, err := p.want.PeekCode()
	if err != nil {
		return err
	}
	if msgpcode.IsString(c) || msgpcode.IsBin(c) {
		return p.value()
	}
	t, err := p.got.Token()
	if err != nil {
		return err
	}
	text, ok := t.(string)
	if !ok {
		return fmt.Errorf("%v is no key", t)
	}
	return (&pair{p.want, newJSON(text)}).whole()
}

// ext compares an extension: Fluent Bit's time is a number of seconds, others
// are their type and their bytes.
func (p *pair) ext() error {
	typ, n, err := p.want.DecodeExtHeader()
	if err != nil {
		return err
	}
	data := make([]byte, n)
	if err := p.want.ReadFull(data); err != nil {
		return err
	}
	if typ == 0 && n == 8 {
		if nsec := binary.BigEndian.Uint32(data[4:]); nsec < 1e9 {
			return p.is(json.Number(fmt.Sprintf("%d.%09d", binary.BigEndian.Uint32(data), nsec)))
		}
	}
	for _, want := range []json.Token{json.Delim('{'), "type", json.Number(strconv.Itoa(int(typ))),
		"data", base64.StdEncoding.EncodeToString(data), json.Delim('}')} {
		if err := p.is(want); err != nil {
			return err
		}
	}
	return nil
}

// The comparison itself can fail.
func TestCompare(t *testing.T) {
	f := func(value, text string, same bool) {
		t.Helper()
		if err := compare([]byte(value), text); (err == nil) != same {
			t.Errorf("%q and %s: got %v", value, text, err)
		}
	}
	f("\x82\xa1a\x01\xa1a\xc0", `{"a":1,"a":null}`, true)
	f("\x82\xa1a\x01\xa1a\xc0", `{"a":null,"a":1}`, false)
	f("\x82\xa1a\x01\xa1a\xc0", `{"a":1}`, false)
	f("\x81\xa1a\x01", `{"a":1,"b":2}`, false)
	f("\x81\xa1a\x01", `{"a":1} `, true)
	f("\x81\xa1a\x01", `{"a":1}{}`, false)
	f("\x81\xa1a\x01\x01", `{"a":1}`, false)
	f("\x81\xa1a\x01", `{"a":1.0}`, false)
	f("\x81\x05\xc3", `{"5":true}`, true)
	f("\x81\x91\xa1x\xc2", `{"[\"x\"]":false}`, true)
	f("\x91\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", `[null]`, true)
	f("\x91\xcb\x80\x00\x00\x00\x00\x00\x00\x00", `[-0]`, true)
	f("\x91\xcb\x80\x00\x00\x00\x00\x00\x00\x00", `[0]`, false)
	f("\x91\xca\x3d\xcc\xcc\xcd", `[0.1]`, true)
	f("\x91\xcf\xff\xff\xff\xff\xff\xff\xff\xff", `[18446744073709551615]`, true)
	f("\x91\xcf\xff\xff\xff\xff\xff\xff\xff\xff", `[18446744073709552000]`, false)
	f("\xa3a\xff\xff", "\"a\ufffd\ufffd\"", true)
	f("\xa3a\xff\xff", "\"a\ufffd\"", false)
	f("\xa1a", "\"a\xff\"", false)
	f("\xd7\x00\x00\x00\x00\x01\x00\x00\x00\x02", `1.000000002`, true)
	f("\xd4\x05\x01", `{"type":5,"data":"AQ=="}`, true)
	f("\xd4\x05\x01", `{"type":6,"data":"AQ=="}`, false)
}
