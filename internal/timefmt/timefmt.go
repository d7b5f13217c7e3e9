// Package timefmt writes a record's time as the options time_key_format and
// time_key_timezone ask for: strftime with fractions of a second.
//
// The two families of AWS plugins agree on the default format and on strftime,
// and disagree below the second. Both are understood here, and where one
// directive means two things, the Go plugins' meaning is taken:
//
//	%L         milliseconds, 3 digits. (In Fluent Bit's C plugins %L is nanoseconds,
//	           9 digits: src/aws/flb_aws_util.c. Write %N or %9N for that.)
//	%f         microseconds, 6 digits
//	%N         nanoseconds, 9 digits
//	%1N - %9N  that many digits; %3N and %9N are the C plugins' own forms
//
// Digits are cut off, not rounded: a rounded fraction could carry into the next
// second, and the two parts of one time would then disagree.
package timefmt

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lestrrat-go/strftime"
)

const (
	// Default is the format of both families of AWS plugins.
	Default = "%Y-%m-%dT%H:%M:%S"

	// Allowed says what a format may hold, for the message about one that may not.
	Allowed = "text with the strftime directives %A %a %B %b %C %c %D %d %e %F %G %g %H %h %I %j %k %l %M %m %n " +
		"%P %p %R %r %S %s %T %t %U %u %V %v %W %w %X %x %Y %y %Z %z %% (without padding: %-d and so on) " +
		"and the fractions %L (3 digits), %f (6), %N (9), %1N to %9N"

	// AllowedZones says what a time zone may be.
	AllowedZones = "utc, local, or a name of the IANA time zone database that this machine has, such as Europe/Berlin"
)

// directives are those of the strftime package and three it leaves to options:
// %s and %P, which Fluent Bit's C plugins have from the C library, and none of
// the fractions, which compile takes out before.
var directives = []strftime.Option{
	strftime.WithSpecification('s', strftime.AppendFunc(appendUnix)),
	strftime.WithSpecification('P', strftime.AppendFunc(appendLowerAMPM)),
}

func appendUnix(b []byte, t time.Time) []byte { return strconv.AppendInt(b, t.Unix(), 10) }

func appendLowerAMPM(b []byte, t time.Time) []byte { return t.AppendFormat(b, "pm") }

// Format is a compiled format in one time zone. It does not change and may be
// used by many threads at once.
type Format struct {
	loc    *time.Location
	pieces []piece
}

// A piece is one directive, a stretch of plain text, or a fraction.
type piece struct {
	text      string             // plain text, when directive is nil and digits is 0
	directive *strftime.Strftime // a directive of strftime
	digits    int                // a fraction of that many digits, 1 to 9
}

// Compile reads a format. If format is empty, Default is used; if loc is nil,
// UTC. A directive it does not know is an error that names it.
func Compile(format string, loc *time.Location) (*Format, error) {
	if format == "" {
		format = Default
	}
	if loc == nil {
		loc = time.UTC
	}
	f := &Format{loc: loc}
	for rest := format; rest != ""; {
		text, directive, ok := strings.Cut(rest, "%")
		if text != "" {
			f.pieces = append(f.pieces, piece{text: text})
		}
		if !ok {
			break
		}
		p, n, err := readDirective(directive)
		if err != nil {
			return nil, fmt.Errorf("%w at byte %d", err, len(format)-len(directive)-1)
		}
		f.pieces = append(f.pieces, p)
		rest = directive[n:]
	}
	return f, nil
}

// readDirective reads the directive at the start of s, the % before it already
// gone, and returns its length.
//
// Each directive is given to strftime by itself. Given a whole format, that
// package joins directives and text into one layout of Go's time package, which
// then takes the "Jan" of %b and the text "uary" behind it for a full month.
func readDirective(s string) (p piece, n int, err error) {
	n = 1
	if s != "" && (s[0] == '-' || s[0] == '#') {
		n = 2
	}
	if len(s) < n {
		return piece{}, 0, fmt.Errorf("a lone %%%s", s)
	}
	switch {
	case s[0] == 'L':
		return piece{digits: 3}, 1, nil
	case s[0] == 'f':
		return piece{digits: 6}, 1, nil
	case s[0] == 'N':
		return piece{digits: 9}, 1, nil
	case s[0] >= '1' && s[0] <= '9' && len(s) > 1 && s[1] == 'N':
		return piece{digits: int(s[0] - '0')}, 2, nil
	}
	compiled, err := strftime.New("%"+s[:n], directives...)
	if err != nil {
		_, size := utf8.DecodeRuneInString(s[n-1:])
		return piece{}, 0, fmt.Errorf("unknown directive %%%s", s[:n-1+size])
	}
	return piece{directive: compiled}, n, nil
}

// Zone reads a time zone: "" or "utc", "local", or an IANA name.
func Zone(name string) (*time.Location, error) {
	switch strings.ToLower(name) {
	case "", "utc":
		return time.UTC, nil
	case "local":
		return time.Local, nil
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("cannot find time zone %q: %w", name, err)
	}
	return loc, nil
}

// Last is what a caller keeps between calls of Append: the text of the last
// second written, since most records of a chunk share theirs with the one
// before. The zero value is ready. It must not be shared between threads.
type Last struct {
	format    *Format
	sec       int64
	text      []byte     // owned by Last for reuse; fractions are zeros
	fractions []fraction // where they are in text
}

type fraction struct{ at, digits int }

// Append writes the time sec and nsec after the start of 1970 to dst, as plain
// text that is not escaped for JSON. It does not allocate when dst has room,
// except that strftime makes three bytes of garbage for %j once a second.
// An nsec outside 0 to 999,999,999 is carried into sec.
func (f *Format) Append(dst []byte, last *Last, sec int64, nsec int32) []byte {
	const second = 1_000_000_000
	if nsec < 0 || nsec >= second {
		carry := nsec / second
		nsec -= carry * second
		if nsec < 0 {
			nsec += second
			carry--
		}
		sec += int64(carry)
	}
	if last.format != f || last.sec != sec {
		f.render(last, sec)
	}
	start := len(dst)
	dst = append(dst, last.text...)
	for _, fr := range last.fractions {
		at := start + fr.at
		putFraction(dst[at:at+fr.digits], nsec)
	}
	return dst
}

// render writes the text of one second to last, with zeros for the fractions.
func (f *Format) render(last *Last, sec int64) {
	t := time.Unix(sec, 0).In(f.loc)
	last.text, last.fractions = last.text[:0], last.fractions[:0]
	for i := range f.pieces {
		p := &f.pieces[i]
		switch {
		case p.digits > 0:
			last.fractions = append(last.fractions, fraction{len(last.text), p.digits})
			last.text = append(last.text, "000000000"[:p.digits]...)
		case p.directive != nil:
			last.text = p.directive.FormatBuffer(last.text, t)
		default:
			last.text = append(last.text, p.text...)
		}
	}
	last.format, last.sec = f, sec
}

// putFraction fills dst with the first digits of nsec, which has nine.
func putFraction(dst []byte, nsec int32) {
	unit := int32(100_000_000)
	for i := range dst {
		dst[i] = byte('0' + nsec/unit%10)
		unit /= 10
	}
}
