package flb

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"github.com/sirupsen/logrus"

	"aws-for-fluent-bit/internal/options"
)

// Fluent Bit gives a Go plugin an option when asked for it by name, and checks
// the names of its own plugins' options only: a misspelt one has no effect and
// nobody is told. There is no function that says which options a section has.
// So the list is read where Fluent Bit keeps it, and believed only as far as
// Fluent Bit itself confirms it.
//
// An instance (struct flb_output_instance, include/fluent-bit/flb_output.h) has
// somewhere in it the head of a list of its options. Where, changes with each
// version, so all places are tried. What hangs on the head has been the same
// since 2019 (tried with 1.9.10, 3.2.10, 4.2.8 and 5.1.1):
//
//	struct mk_list { struct mk_list *prev, *next; };                    lib/monkey/.../mk_list.h
//	struct flb_kv  { char *key; char *val; struct mk_list _head; };     include/fluent-bit/flb_kv.h
//
// A place is taken for the head when a ring of such entries hangs on it, and
// the value that Fluent Bit returns for each key is, as a pointer, the very one
// that the entry has. No other list can pass that. Reading goes through a file,
// /proc/self/mem: an address that is none is an error there, not a crash.
// Should a version have its options elsewhere, nothing is found, and no more is
// lost than the check.
//
// The registration's config map would be the other way (struct
// flb_plugin_proxy_def, since 5.1.1): Fluent Bit would then check the names. But
// nothing tells a 5.1.1 from a 5.1.0, where the field lies behind the end of what
// was allocated; and its entries, which Fluent Bit reads as an array, grew as
// late as in 5.0.3, so that a map made for one version can be a crash in another.

const (
	// instanceBytes is how far into an instance the head is looked for; in 5.1.1
	// an instance has some 2,000 bytes.
	instanceBytes = 16 << 10
	maxOptions    = 1000 // of a section
	maxOptionName = 128
	wordBytes     = 8
)

// sectionKeys returns the names of the options that an instance's section has,
// in their order and as they are written; nil when they cannot be told. value
// returns the address of what Fluent Bit returns for a key, 0 for NULL.
func sectionKeys(memory io.ReaderAt, instance uint64, value func(key string) uint64) []string {
	block := make([]byte, instanceBytes)
	// Less than that is no error: the memory may end before.
	n, _ := memory.ReadAt(block, int64(instance))
	for at := 0; at+2*wordBytes <= n; at += wordBytes {
		head := ring{memory: memory, head: instance + uint64(at), prev: word(block[at:]), next: word(block[at+wordBytes:])}
		if entries := head.entries(); confirmed(entries, value) {
			keys := make([]string, len(entries))
			for i, e := range entries {
				keys[i] = e.key
			}
			return keys
		}
	}
	return nil
}

func word(b []byte) uint64 { return binary.NativeEndian.Uint64(b) }

// option is a struct flb_kv.
type option struct {
	key   string
	value uint64 // address; 0 if it is empty
}

// ring is what may be a struct mk_list with options on it.
type ring struct {
	memory           io.ReaderAt
	head, prev, next uint64
}

// entries follows the ring, and returns nil if it is none.
func (r *ring) entries() (all []option) {
	last := r.head
	for at := r.next; at != r.head; {
		const before = 2 * wordBytes // key and val
		var kv [4 * wordBytes]byte
		if at%wordBytes != 0 || at < before || len(all) == maxOptions || !r.read(kv[:], at-before) || word(kv[2*wordBytes:]) != last {
			return nil
		}
		key, ok := r.text(word(kv[:]))
		if !ok {
			return nil
		}
		all = append(all, option{key, word(kv[wordBytes:])})
		last, at = at, word(kv[3*wordBytes:])
	}
	if last != r.prev {
		return nil
	}
	return all
}

// read fills b from an address.
func (r *ring) read(b []byte, address uint64) bool {
	n, _ := r.memory.ReadAt(b, int64(address))
	return n == len(b)
}

// text returns a name that ends with a zero byte.
func (r *ring) text(address uint64) (string, bool) {
	if address == 0 {
		return "", false
	}
	var b [maxOptionName + 1]byte
	n, _ := r.memory.ReadAt(b[:], int64(address))
	text, _, ended := strings.Cut(string(b[:n]), "\x00")
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7f {
			return "", false
		}
	}
	return text, ended && text != ""
}

// confirmed says whether Fluent Bit returns these values. Of a key that is there
// twice it returns the first.
func confirmed(entries []option, value func(key string) uint64) bool {
	seen := make(map[string]bool)
	some := false
	for _, e := range entries {
		key := strings.ToLower(e.key)
		if seen[key] {
			continue
		}
		seen[key] = true
		if value(e.key) != e.value {
			return false
		}
		some = some || e.value != 0
	}
	return some
}

// checkKeys holds a section's keys against what the plugin asked for. A name that
// is clearly one of the plugin's or of Fluent Bit's, misspelt, is an error: what
// was to be set is not. Any other is said: it may be of a later Fluent Bit.
func checkKeys(log *logrus.Entry, keys, known []string) error {
	var errs []error
	for _, u := range options.FindUnknown(keys, known) {
		if u.Misspelt {
			errs = append(errs, errors.New(u.String()))
			continue
		}
		log.Warn(u)
	}
	for _, key := range options.FindRepeated(keys) {
		log.Warnf("option %s: it is set more than once, the first one counts", key)
	}
	return errors.Join(errs...)
}
