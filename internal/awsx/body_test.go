package awsx

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"testing"
)

func readAllOf(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBodyReaders(t *testing.T) {
	b := NewBody([]byte("0123456789"))
	first := b.open()
	if n, err := first.Read(make([]byte, 4)); n != 4 || err != nil || b.whole() {
		t.Errorf("got %d, %v; whole: %v", n, err, b.whole())
	}
	second := b.open()
	if n, err := first.Read(make([]byte, 4)); n != 0 || err != errDetached {
		t.Errorf("the reader before: got %d, %v", n, err)
	}
	first.Close() // of an earlier attempt: no matter
	if got := readAllOf(t, second); got != "0123456789" || !b.whole() {
		t.Errorf("got %q; whole: %v", got, b.whole())
	}
	second.Close()
	if _, err := second.Read(make([]byte, 1)); err != errDetached {
		t.Errorf("after Close: got %v", err)
	}
	if !b.whole() {
		t.Error("Close forgets what was taken")
	}
	third := b.open()
	b.Detach()
	if _, err := third.Read(make([]byte, 1)); err != errDetached {
		t.Errorf("after Detach: got %v", err)
	}
	if got := readAllOf(t, b.open()); got != "0123456789" {
		t.Errorf("the same bytes again: got %q", got)
	}
}

// A reader of an earlier call gets nothing of a later one's.
func TestBodyRewound(t *testing.T) {
	b := NewBody([]byte("0123456789"))
	first := b.open()
	b.rewind()
	second := b.open()
	if n, err := first.Read(make([]byte, 4)); n != 0 || err != errDetached {
		t.Errorf("the reader before: got %d, %v", n, err)
	}
	if got := readAllOf(t, second); got != "0123456789" {
		t.Errorf("got %q", got)
	}
}

// Body as the SDK itself, or another client, uses it.
func TestBodyAsStream(t *testing.T) {
	b := NewBody([]byte("0123456789"))
	if b.Len() != 10 {
		t.Errorf("Len is %d", b.Len())
	}
	if n, err := b.Read(make([]byte, 3)); n != 3 || err != nil || b.Len() != 7 {
		t.Errorf("got %d, %v, Len %d", n, err, b.Len())
	}
	for _, c := range []struct {
		offset int64
		whence int
		at     int64
	}{{0, io.SeekCurrent, 3}, {-2, io.SeekEnd, 8}, {4, io.SeekStart, 4}, {1, io.SeekCurrent, 5}, {0, io.SeekEnd, 10}, {0, io.SeekStart, 0}} {
		if at, err := b.Seek(c.offset, c.whence); at != c.at || err != nil {
			t.Errorf("Seek(%d, %d): got %d, %v", c.offset, c.whence, at, err)
		}
	}
	for _, bad := range []int64{-1, 11} {
		if _, err := b.Seek(bad, io.SeekStart); err == nil {
			t.Errorf("Seek(%d): no error", bad)
		}
	}
	if got := readAllOf(t, b); got != "0123456789" || !b.whole() {
		t.Errorf("got %q", got)
	}
	b.Detach()
	if at, err := b.Seek(0, io.SeekCurrent); err != nil || at != 10 {
		t.Errorf("asked where it is: got %d, %v", at, err)
	}
	if _, err := b.Read(make([]byte, 1)); err != errDetached {
		t.Errorf("after Detach: got %v", err)
	}
	if _, err := b.Seek(0, io.SeekStart); err != nil || readAllOf(t, b) != "0123456789" {
		t.Errorf("from the start again: %v", err)
	}
	b.Detach()
	b.rewind()
	if b.whole() || b.Len() != 10 {
		t.Error("rewound, yet read")
	}
	if got := readAllOf(t, b); got != "0123456789" {
		t.Errorf("got %q", got)
	}
}

func TestBodyReset(t *testing.T) {
	data := []byte("one")
	b := NewBody(data)
	hash := b.sha256()
	reader := b.open()
	b.Reset(append(data[:0], "another"...))
	if _, err := reader.Read(make([]byte, 1)); !errors.Is(err, errDetached) {
		t.Errorf("a reader of what was before: got %v", err)
	}
	if b.sha256() == hash || b.Len() != 7 || readAllOf(t, b.open()) != "another" {
		t.Error("Reset keeps something of what was before")
	}
	if NewBody(nil).sha256() != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Error("the hash of nothing is wrong")
	}
	if !NewBody(nil).whole() {
		t.Error("an empty body is not whole")
	}
}

func TestBodyHashed(t *testing.T) {
	b := NewBody([]byte("one"))
	b.Hashed(sha256.Sum256([]byte("one")))
	if got := b.hash; got != "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed" || b.sha256() != got {
		t.Errorf("got %q", got)
	}
	b.Reset([]byte("two"))
	if b.sha256() != NewBody([]byte("two")).sha256() {
		t.Error("Reset keeps the hash of what was before")
	}
}

func FuzzBody(f *testing.F) {
	f.Add([]byte("0123456789"), 3, int64(4), 0)
	f.Fuzz(func(t *testing.T, data []byte, n int, offset int64, whence int) {
		ours, theirs := NewBody(data), bytes.NewReader(data)
		buf, want := make([]byte, n&0xff), make([]byte, n&0xff)
		for range 3 {
			a, errA := ours.Read(buf)
			b, errB := theirs.Read(want)
			if a != b || len(buf) > 0 && errA != errB || !bytes.Equal(buf, want) || ours.Len() != theirs.Len() {
				t.Fatalf("Read: %d, %v and %d, %v", a, errA, b, errB)
			}
			if whence < 0 || whence > 2 {
				return
			}
			before := ours.at
			at, err := ours.Seek(offset, whence)
			if err != nil {
				if ours.at != before {
					t.Fatal("a Seek that fails moves")
				}
				return // bytes.Reader takes offsets beyond the end
			}
			if to, err := theirs.Seek(offset, whence); err != nil || at != to {
				t.Fatalf("Seek: %d and %d, %v", at, to, err)
			}
		}
	})
}
