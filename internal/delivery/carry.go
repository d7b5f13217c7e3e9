package delivery

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"aws-for-fluent-bit/internal/options"
)

// carry is how a ledger goes from an output that ends to the one that takes its
// place: after a hot reload within the process, after a restart by a file (option
// ledger_path). Only with storage.type filesystem do chunks come back then.
//
// A ledger goes to an output of the same name and the very same options, and
// to no other: with a wrong one, records would be taken for delivered to a
// place that never saw them. Without one they are sent twice.
type carry struct {
	name   string
	config string // hash of the output's own options; "": nothing is carried
	dir    string
	once   sync.Once
}

// left are the ledgers of outputs that ended in this process, by name and options.
var left sync.Map // string -> []*memory

// configSum returns a hash of the options read so far, or "" when there are none.
func configSum(s *options.Set) string {
	names := s.Names()
	if len(names) == 0 {
		return ""
	}
	h := sha256.New()
	for _, name := range names {
		value, _ := s.Lookup(name)
		fmt.Fprintf(h, "%q=%q\n", name, value)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// lastingSum is the hash for a ledger that is to outlive the process: it takes
// five to ten times as long as quickSum, but is the same in the next one.
func lastingSum(data []byte) uint64 {
	sum := sha256.Sum256(data)
	return binary.LittleEndian.Uint64(sum[:])
}

// resume takes over what an earlier output left, at the first flush and not
// before: an output that fails to start, or has nothing to do, leaves it alone.
// What is still to come of it counts as taken in by this one.
func (d *Delivery) resume() {
	d.carry.once.Do(func() {
		if d.carry.config == "" {
			return
		}
		var entries []*memory
		if all, ok := left.LoadAndDelete(d.carry.key()); ok {
			entries = all.([]*memory)
		}
		if d.carry.dir != "" {
			var err error
			if entries, err = d.carry.read(); err != nil {
				d.Said.Warn("ledger", "cannot take over a ledger; records may be sent twice: %v", err)
			}
		}
		for _, m := range entries {
			d.Add(In, m.records-m.done)
			d.ledger.keep(*m)
		}
	})
}

// leave hands on what the ledger holds.
func (d *Delivery) leave() {
	untouched := false
	d.carry.once.Do(func() { untouched = true })
	if untouched || d.carry.config == "" {
		return // without a flush, what an earlier output left is still in its place
	}
	entries := d.ledger.drain()
	if d.carry.dir == "" {
		if len(entries) > 0 {
			left.Store(d.carry.key(), entries)
		}
		return
	}
	if err := d.carry.write(entries); err != nil {
		d.Said.Warn("ledger", "cannot keep the ledger for a restart; records may be sent twice then: %v", err)
	}
}

func (c *carry) key() string { return c.name + "-" + c.config }

// file is where the ledger waits. An instance's name is the user's to choose.
func (c *carry) file() string {
	return filepath.Join(c.dir, url.PathEscape(c.name)+"-"+c.config+".ledger")
}

// ledgerFile is the file's JSON.
type ledgerFile struct {
	Chunks []ledgerEntry `json:"chunks"`
}

type ledgerEntry struct {
	Tag     string    `json:"tag"`
	Size    int       `json:"size"`
	Sum     uint64    `json:"sum"`     // see lastingSum
	Records int       `json:"records"` // taken in
	Settled []byte    `json:"settled"` // a bit each, the first one lowest
	Kept    time.Time `json:"kept"`

	Parted []partedEntry `json:"parted,omitempty"`
}

func packBits(words []uint64) (packed []byte) {
	for _, word := range words {
		packed = binary.LittleEndian.AppendUint64(packed, word)
	}
	return packed
}

// unpackBits returns the bits, how many are set, and the number of the last one
// that is, from 1.
func unpackBits(packed []byte) (words []uint64, set, last int) {
	for len(packed)%8 != 0 {
		packed = append(packed, 0)
	}
	for ; len(packed) > 0; packed = packed[8:] {
		word := binary.LittleEndian.Uint64(packed)
		words = append(words, word)
		set += bits.OnesCount64(word)
		if word != 0 {
			last = 64*len(words) - bits.LeadingZeros64(word)
		}
	}
	return words, set, last
}

// read takes the file away: after this run it no longer tells the truth. No
// file is no error.
func (c *carry) read() ([]*memory, error) {
	text, err := os.ReadFile(c.file())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := os.Remove(c.file()); err != nil {
		return nil, err
	}
	var f ledgerFile
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", c.file(), err)
	}
	now := time.Now()
	entries := make([]*memory, 0, len(f.Chunks))
	for _, e := range f.Chunks {
		m := &memory{key: chunkKey{e.Tag, e.Size, e.Sum}, records: e.Records, kept: e.Kept}
		last := 0
		m.settled, m.done, last = unpackBits(e.Settled)
		// Anything else could take a record for delivered that is not.
		if m.done >= m.records || last > m.records || m.records > m.key.size {
			return nil, fmt.Errorf("cannot read %s: a chunk of %d bytes has %d records, of which %d are settled, the last one number %d", c.file(), m.key.size, m.records, m.done, last)
		}
		for _, entry := range e.Parted {
			p, err := entry.parted(m)
			if err != nil {
				return nil, fmt.Errorf("cannot read %s: %w", c.file(), err)
			}
			if m.parted == nil {
				m.parted = make(map[int]*parted)
			}
			m.parted[entry.Record] = p
		}
		if m.kept.After(now) { // the clock was set back
			m.kept = now
		}
		entries = append(entries, m)
	}
	return entries, nil
}

// write leaves the file, whole or not at all, and removes what the same
// instance left under other options.
func (c *carry) write(entries []*memory) error {
	if err := c.sweep(); err != nil {
		return err
	}
	if len(entries) == 0 {
		return nil
	}
	var f ledgerFile
	for _, m := range entries {
		e := ledgerEntry{Tag: m.key.tag, Size: m.key.size, Sum: m.key.sum, Records: m.records, Settled: packBits(m.settled), Kept: m.kept}
		for record, p := range m.parted {
			e.Parted = append(e.Parted, p.entry(record))
		}
		f.Chunks = append(f.Chunks, e)
	}
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.unfinished(), text, 0o600); err != nil {
		return err
	}
	return os.Rename(c.unfinished(), c.file())
}

// unfinished is the file while it is written.
func (c *carry) unfinished() string { return c.file() + ".new" }

// check tells at the start whether the file can be written at the end.
func (c *carry) check() error {
	if err := os.WriteFile(c.unfinished(), nil, 0o600); err != nil {
		return err
	}
	return os.Remove(c.unfinished())
}

func (c *carry) sweep() error {
	files, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	prefix := url.PathEscape(c.name) + "-"
	for _, f := range files {
		config, mine := strings.CutPrefix(f.Name(), prefix)
		config, mine2 := strings.CutSuffix(config, ".ledger")
		if mine && mine2 && len(config) == len(c.config) {
			if err := os.Remove(filepath.Join(c.dir, f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
