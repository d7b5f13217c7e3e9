package compress

import "aws-for-fluent-bit/internal/spare"

// maxTries bounds the search for a cut. What has been seen of logs takes three
// to six tries, each on less text than the whole record; a text made to be hard
// takes up to fifteen or so.
const maxTries = 40

// AppendFit adds the compressed form of src to dst, in at most max bytes. When
// the whole of src does not fit, it adds as much of the beginning of src as does
// with marker behind it, and reports truncated. The cut is at nine tenths of the
// shortest one that does not fit, or longer. cut(text, n) gives the longest
// prefix of at most n bytes that does not end inside a character.
//
// A record is never given up for its size: the search goes on until something
// fits. Only when max is too small even for marker alone (some 64 bytes, while
// no service takes less than 1,000 KiB) does it add nothing.
//
// To keep a record's final newline, leave it off src's and put it on marker's end.
func (c *Compressor) AppendFit(dst, src []byte, max int, cut func(text []byte, n int) int, marker string) (out []byte, truncated bool) {
	start := len(dst)
	dst = c.Append(dst, src)
	size := len(dst) - start
	if size <= max {
		return dst, false
	}
	s, ok := searches.Get()
	if !ok {
		s = &search{}
	}
	s.run(c, src, size, max, cut, marker)
	dst = append(dst[:start], s.best...)
	searches.Put(s)
	return dst, true
}

var searches spare.List[*search]

// A search looks for a long prefix of a record whose compressed form fits.
type search struct {
	tries int

	// Owned by the search for reuse.
	text []byte // the prefix being tried, with its marker
	try  []byte // text, compressed
	best []byte // the longest prefix that fitted, compressed
}

// run leaves the result in s.best, empty when nothing fits. size is the
// compressed size of all of src, known to be more than limit.
//
// Compressed sizes grow nearly in step with the text, so a guess on the straight
// line between a prefix that fits and one that does not is mostly close. Where
// it is not, in one kind of text behind another, the middle is tried.
func (s *search) run(c *Compressor, src []byte, size, limit int, cut func(text []byte, n int) int, marker string) {
	s.best, s.tries = s.best[:0], 0
	lowSize, ok := s.fits(c, nil, marker, limit)
	if !ok {
		return
	}
	low := 0                              // nothing up to here is a longer cut that fits
	high, highSize := len(src), size      // does not fit
	sure := limit - limit/6 - len(marker) // fits even if nothing in it repeats, but for a few bytes
	widths := [2]int{2 * high, 2 * high}  // of the range, one and two tries ago
	for s.tries < maxTries && high-low > 1 && low*10 < high*9 {
		width := high - low
		guess := nextGuess(low, lowSize, high, highSize, limit)
		if width > widths[s.tries%2]/2 {
			guess = low + width/2
		}
		widths[s.tries%2] = width
		guess = min(max(guess, low+1, sure), high-1)

		n := cut(src, guess)
		if n <= low {
			low = guess // no character ends between the two
			s.tries++
			continue
		}
		if size, ok := s.fits(c, src[:n], marker, limit); ok {
			low, lowSize = n, size
		} else {
			high, highSize = n, size
		}
	}
}

// nextGuess gives the length to try next, from one that fits and one that does
// not. Near the end it is the shortest length that would show, by not fitting,
// that low is long enough.
func nextGuess(low, lowSize, high, highSize, limit int) int {
	const short = 0.98 // of the way: a guess that fits is worth more than one that does not
	guess := low + int(float64(high-low)*float64(limit-lowSize)/float64(highSize-lowSize)*short)
	return max(guess, low*10/9)
}

// fits compresses text with its marker and keeps the result if it fits.
func (s *search) fits(c *Compressor, text []byte, marker string, limit int) (size int, ok bool) {
	s.tries++
	s.text = append(append(s.text[:0], text...), marker...)
	s.try = c.Append(s.try[:0], s.text)
	size = len(s.try)
	if size > limit {
		return size, false
	}
	s.best, s.try = s.try, s.best
	return size, true
}
