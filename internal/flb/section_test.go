package flb

import (
	"encoding/binary"
	"io"
	"reflect"
	"strings"
	"testing"
)

// heap is a made-up memory from address base on, whose rest cannot be read.
type heap struct{ bytes []byte }

const base = 0x7f0000001000

func (h *heap) ReadAt(b []byte, at int64) (int, error) {
	at -= base
	if at < 0 || at >= int64(len(h.bytes)) {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(b, h.bytes[at:])
	if n < len(b) {
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}

// alloc returns the address of n new bytes.
func (h *heap) alloc(n int) uint64 {
	for len(h.bytes)%wordBytes != 0 {
		h.bytes = append(h.bytes, 0)
	}
	at := base + uint64(len(h.bytes))
	h.bytes = append(h.bytes, make([]byte, n)...)
	return at
}

func (h *heap) put(at, v uint64) { binary.NativeEndian.PutUint64(h.bytes[at-base:], v) }

func (h *heap) text(s string) uint64 {
	at := h.alloc(len(s) + 1)
	copy(h.bytes[at-base:], s)
	return at
}

// list makes a list with these keys and values on the head at an address, and
// returns the addresses of its entries. The value "-" is NULL.
func (h *heap) list(head uint64, pairs ...string) (entries []uint64) {
	last := head
	for i := 0; i < len(pairs); i += 2 {
		kv := h.alloc(4 * wordBytes)
		h.put(kv, h.text(pairs[i]))
		if pairs[i+1] != "-" {
			h.put(kv+wordBytes, h.text(pairs[i+1]))
		}
		node := kv + 2*wordBytes
		h.put(node, last)
		h.put(last+wordBytes, node)
		last = node
		entries = append(entries, kv)
	}
	h.put(last+wordBytes, head)
	h.put(head, last)
	return entries
}

// get is flb_output_get_property for the list on a head.
func (h *heap) get(head uint64) func(string) uint64 {
	return func(key string) uint64 {
		read := func(at uint64) uint64 { return word(h.bytes[at-base:]) }
		for node := read(head + wordBytes); node != head; node = read(node + wordBytes) {
			name, _, _ := strings.Cut(string(h.bytes[read(node-2*wordBytes)-base:]), "\x00")
			if strings.EqualFold(name, key) {
				return read(node - wordBytes)
			}
		}
		return 0
	}
}

func TestSectionKeys(t *testing.T) {
	for name, test := range map[string]struct {
		at    uint64 // of the head in the instance
		pairs []string
		want  []string
	}{
		"some":               {256, []string{"region", "us-east-1", "Auto_Create_Grup", "on"}, []string{"region", "Auto_Create_Grup"}},
		"one, far down":      {2000, []string{"region", "us-east-1"}, []string{"region"}},
		"an empty value":     {8, []string{"region", "us-east-1", "tls", "-"}, []string{"region", "tls"}},
		"a key twice":        {0, []string{"region", "us-east-1", "Region", "us-east-2"}, []string{"region", "Region"}},
		"none":               {0, nil, nil},
		"empty values alone": {0, []string{"tls", "-"}, nil},
		"no name for a key":  {0, []string{"region", "us-east-1", "a b", "x"}, nil},
		"the longest name":   {0, []string{strings.Repeat("x", 128), "y"}, []string{strings.Repeat("x", 128)}},
		"one too long":       {0, []string{strings.Repeat("x", 129), "y"}, nil},
		"no name either":     {0, []string{"region", "us-east-1", "a\x7f", "x"}, nil},
		"a name without end": {0, []string{"region", "us-east-1", strings.Repeat("x", 200), "x"}, nil},
	} {
		h := new(heap)
		instance := h.alloc(2048)
		// What else an instance has: other lists, numbers, and pointers to nowhere.
		other := instance + 1024
		h.list(other, "net.keepalive", "on")
		h.put(instance+1500&^7, instance)
		h.put(instance+1504, 0xdeadbeef)
		h.put(instance+1512, ^uint64(7))
		h.put(instance+1520, 3)
		head := instance + test.at
		h.list(head, test.pairs...)
		if got := sectionKeys(h, instance, h.get(head)); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// The head is found up to the end of what is looked at.
func TestSectionKeysAtTheEnd(t *testing.T) {
	for before, want := range map[uint64]int{16: 1, 8: 0} {
		h := new(heap)
		instance := h.alloc(instanceBytes + 8)
		head := instance + instanceBytes - before
		h.list(head, "region", "us-east-1")
		if got := sectionKeys(h, instance, h.get(head)); len(got) != want {
			t.Errorf("%d bytes before the end: got %q", before, got)
		}
	}
}

// A list that Fluent Bit does not confirm, or that is broken anywhere, is none.
func TestSectionKeysDoubts(t *testing.T) {
	pairs := []string{"region", "us-east-1", "log_key", "log"}
	for name, spoil := range map[string]func(h *heap, head uint64, entries []uint64){
		"a value of another": func(h *heap, _ uint64, kv []uint64) { h.put(kv[1]+wordBytes, h.text("log")) },
		"a link back":        func(h *heap, _ uint64, kv []uint64) { h.put(kv[1]+2*wordBytes, kv[1]) },
		"a link forward":     func(h *heap, _ uint64, kv []uint64) { h.put(kv[1]+3*wordBytes, kv[0]+2*wordBytes) },
		"a link to nowhere":  func(h *heap, _ uint64, kv []uint64) { h.put(kv[1]+3*wordBytes, 0x10) },
		"a link to NULL":     func(h *heap, _ uint64, kv []uint64) { h.put(kv[1]+3*wordBytes, 0) },
		"an odd link":        func(h *heap, _ uint64, kv []uint64) { h.put(kv[0]+3*wordBytes, kv[1]+2*wordBytes+1) },
		"no key":             func(h *heap, _ uint64, kv []uint64) { h.put(kv[1], 0) },
		"a key at nowhere":   func(h *heap, _ uint64, kv []uint64) { h.put(kv[1], 0xdeadbeef) },
		"the head's end":     func(h *heap, head uint64, kv []uint64) { h.put(head, kv[0]+2*wordBytes) },
	} {
		h := new(heap)
		instance := h.alloc(512)
		head := instance + 64
		entries := h.list(head, pairs...)
		get := h.get(head)
		answers := map[string]uint64{"region": get("region"), "log_key": get("log_key")}
		value := func(key string) uint64 { return answers[key] }
		if sectionKeys(h, instance, value) == nil {
			t.Fatalf("%s: not found before", name)
		}
		spoil(h, head, entries)
		if got := sectionKeys(h, instance, value); got != nil {
			t.Errorf("%s: got %q", name, got)
		}
	}
	if got := sectionKeys(new(heap), 0x10, func(string) uint64 { return 0 }); got != nil {
		t.Errorf("an instance at nowhere: got %q", got)
	}
}

// A ring that is too long, or goes on in itself, ends.
func TestSectionKeysEnds(t *testing.T) {
	h := new(heap)
	instance := h.alloc(64)
	var pairs []string
	for range maxOptions + 1 {
		pairs = append(pairs, "key", "value")
	}
	h.list(instance, pairs...)
	if got := sectionKeys(h, instance, h.get(instance)); got != nil {
		t.Errorf("got %d keys", len(got))
	}
}

func TestCheckKeys(t *testing.T) {
	log, lines := captured("")
	err := checkKeys(log, []string{"Region", "regoin", "codec", "log_group", "Retry_Limits", "tls", "region"}, []string{"region", "log_group_name"})
	want := "option regoin: there is no such option, the nearest is region\n" +
		"option Retry_Limits: there is no such option, the nearest is retry_limit"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if got, want := lines(), []string{
		"2 option codec: there is no such option, it has no effect",
		"2 option log_group: there is no such option, it has no effect; the nearest is log_group_name",
		"2 option region: it is set more than once, the first one counts",
	}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := checkKeys(log, nil, []string{"region"}); err != nil || len(lines()) != 3 {
		t.Errorf("nothing known of the section: got %v, %q", err, lines())
	}
}
