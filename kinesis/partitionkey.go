package kinesis

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/fields"
	"aws-for-fluent-bit/internal/jsonenc"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/spare"
	"aws-for-fluent-bit/internal/template"
)

// maxKeyChars is how long a partition key may be, in Unicode characters.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecordsRequestEntry.html
//
// The page does not say how it counts those outside of the Basic Multilingual
// Plane, such as emoji. They count as two here, as in Java: one key that the
// service finds too long would have the whole call refused.
const maxKeyChars = 256

// partitionKey is where a record has its partition key.
type partitionKey struct {
	path     []string           // of keys in nested maps
	template *template.Template // instead, if not nil
}

// parsePartitionKey reads the option partition_key: a key of the record, keys
// of nested maps with -> between them, a record accessor, or a template: what has
// a $(variable) in it, or begins with $TAG. It returns nil if the option is not
// set, which gives every record a random key.
//
// AWS's Go plugin refuses the key "log", for which there is no reason.
func parsePartitionKey(s *options.Set) *partitionKey {
	value, ok := s.Lookup("partition_key")
	if !ok {
		return nil
	}
	if strings.Contains(value, "$(") || strings.HasPrefix(value, "$TAG") {
		return parseKeyTemplate(s, value)
	}
	path := keyPath(value)
	if path == nil {
		s.Fail("partition_key", value, `a key, keys of nested maps as kubernetes->pod_name, or a record accessor as $kubernetes['pod_name']`)
		return nil
	}
	return &partitionKey{path: path}
}

func parseKeyTemplate(s *options.Set, value string) *partitionKey {
	t, err := template.ParseAccessor(value)
	switch {
	case err != nil:
		s.Conflict("option partition_key: %w", err)
		return nil
	case t.NeedsECS() || t.NeedsEC2() || t.NeedsUUID():
		s.Fail("partition_key", value, "variables of the record, its time and its tag")
		return nil
	}
	return &partitionKey{template: t}
}

// keyPath returns the keys that value names, nil if it cannot be understood. An
// element of an array is not among what a partition key can be.
func keyPath(value string) []string {
	path, _ := fields.Parse(value)
	keys, _ := path.Keys()
	return keys
}

// keyer finds the partition keys of one flush's records, and makes them up for
// those that have none. It is not safe for concurrent use.
type keyer struct {
	from    *partitionKey // nil: all are made up
	random  *rand.PCG
	in      template.Input // for a template: the tag and the record's time
	key     []byte         // owned by keyer for reuse
	missing int            // records that should have a key and do not
}

var keyers spare.List[*keyer]

func newKeyer(from *partitionKey) *keyer {
	k, ok := keyers.Get()
	if !ok {
		k = &keyer{random: rand.NewPCG(rand.Uint64(), rand.Uint64())}
	}
	k.from = from
	return k
}

// free gives the keyer back; nothing may use it or its last key any more.
func (k *keyer) free() {
	*k = keyer{random: k.random, key: k.key}
	keyers.Put(k)
}

// of returns the partition key of a record, valid until the next call: UTF-8 of
// 1 to maxKeyChars characters. Strings, binary, numbers and booleans can be one.
// A record where it is missing, empty or anything else gets a random key, and
// is counted in missing.
func (k *keyer) of(body []byte) (key []byte, random bool) {
	if k.from == nil {
		return k.madeUp(), true
	}
	if k.from.template != nil {
		return k.made(body)
	}
	value, ok := chunk.Lookup(body, k.from.path)
	if ok && scalar(value) {
		// A value that Lookup returns is whole, so it can be written as text.
		k.key, _, _ = jsonenc.AppendText(k.key[:0], value)
		if len(k.key) > 0 && !(isFloat(value) && string(k.key) == "null") {
			return k.key[:cutKey(k.key)], false
		}
	}
	k.missing++
	return k.madeUp(), true
}

// made returns the key that the template makes of a record.
func (k *keyer) made(body []byte) (key []byte, random bool) {
	k.in.Body = body
	var missing *template.MissingError
	k.key, missing = k.from.template.Append(k.key[:0], &k.in)
	if missing != nil || len(k.key) == 0 {
		k.missing++
		return k.madeUp(), true
	}
	if !utf8.Valid(k.key) {
		k.key = bytes.ToValidUTF8(k.key, []byte("\uFFFD"))
	}
	return k.key[:cutKey(k.key)], false
}

// madeUp returns a random key of 8 characters, one of 2^40: many more than
// there are shards, which all get their part.
func (k *keyer) madeUp() []byte {
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	k.key = k.key[:0]
	for bits := k.random.Uint64(); len(k.key) < 8; bits >>= 5 {
		k.key = append(k.key, letters[bits%32])
	}
	return k.key
}

// scalar reports whether a msgpack value is a string, binary, a number or a
// boolean.
func scalar(value []byte) bool {
	switch c := value[0]; {
	case c >= 0x80 && c <= 0x9f, // map and array, short forms
		c == 0xc0, c == 0xc1, // nil, and what is no type
		c >= 0xc7 && c <= 0xc9, c >= 0xd4 && c <= 0xd8, // extension types
		c >= 0xdc && c <= 0xdf: // array and map
		return false
	}
	return true
}

// isFloat reports whether a msgpack value is a floating point number. JSON has
// no text for some of them, and null instead.
func isFloat(value []byte) bool { return value[0] == 0xca || value[0] == 0xcb }

// cutKey returns the length of the longest prefix that has at most maxKeyChars
// characters.
func cutKey(key []byte) int {
	if len(key) <= maxKeyChars { // a character has at least a byte
		return len(key)
	}
	chars := 0
	for i := 0; i < len(key); {
		r, size := utf8.DecodeRune(key[i:])
		if chars += utf16.RuneLen(r); chars > maxKeyChars {
			return i
		}
		i += size
	}
	return len(key)
}
