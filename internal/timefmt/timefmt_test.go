package timefmt

import (
	"math"
	"strings"
	"sync"
	"testing"
	"time"
	_ "time/tzdata" // the tests do not depend on the machine's own
)

func mustCompile(t testing.TB, format string, loc *time.Location) *Format {
	t.Helper()
	f, err := Compile(format, loc)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mustZone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// The instants of directiveTests: a time with single digits everywhere, the
// last seconds of a leap year and of a year that ends on a Sunday, midnight, a
// time before 1970, and the first second of summer time in Berlin.
var instants = [6]struct {
	zone string
	sec  int64
}{
	{"utc", 1719800107}, {"utc", 1609459199}, {"utc", 1704067199}, {"utc", 1767225600}, {"utc", -1}, {"Europe/Berlin", 1711846800},
}

// directiveTests holds what GNU date prints (TZ=... LC_ALL=C date -d @... +%x),
// except for %v, which it has not: that is BSD's, "%e-%b-%Y".
var directiveTests = []struct {
	directive string
	want      [6]string
}{
	{"%A", [6]string{"Monday", "Thursday", "Sunday", "Thursday", "Wednesday", "Sunday"}},
	{"%a", [6]string{"Mon", "Thu", "Sun", "Thu", "Wed", "Sun"}},
	{"%B", [6]string{"July", "December", "December", "January", "December", "March"}},
	{"%b", [6]string{"Jul", "Dec", "Dec", "Jan", "Dec", "Mar"}},
	{"%C", [6]string{"20", "20", "20", "20", "19", "20"}},
	{"%c", [6]string{"Mon Jul  1 02:15:07 2024", "Thu Dec 31 23:59:59 2020", "Sun Dec 31 23:59:59 2023", "Thu Jan  1 00:00:00 2026", "Wed Dec 31 23:59:59 1969", "Sun Mar 31 03:00:00 2024"}},
	{"%D", [6]string{"07/01/24", "12/31/20", "12/31/23", "01/01/26", "12/31/69", "03/31/24"}},
	{"%d", [6]string{"01", "31", "31", "01", "31", "31"}},
	{"%e", [6]string{" 1", "31", "31", " 1", "31", "31"}},
	{"%F", [6]string{"2024-07-01", "2020-12-31", "2023-12-31", "2026-01-01", "1969-12-31", "2024-03-31"}},
	{"%G", [6]string{"2024", "2020", "2023", "2026", "1970", "2024"}},
	{"%g", [6]string{"24", "20", "23", "26", "70", "24"}},
	{"%H", [6]string{"02", "23", "23", "00", "23", "03"}},
	{"%h", [6]string{"Jul", "Dec", "Dec", "Jan", "Dec", "Mar"}},
	{"%I", [6]string{"02", "11", "11", "12", "11", "03"}},
	{"%j", [6]string{"183", "366", "365", "001", "365", "091"}},
	{"%k", [6]string{" 2", "23", "23", " 0", "23", " 3"}},
	{"%l", [6]string{" 2", "11", "11", "12", "11", " 3"}},
	{"%M", [6]string{"15", "59", "59", "00", "59", "00"}},
	{"%m", [6]string{"07", "12", "12", "01", "12", "03"}},
	{"%P", [6]string{"am", "pm", "pm", "am", "pm", "am"}},
	{"%p", [6]string{"AM", "PM", "PM", "AM", "PM", "AM"}},
	{"%R", [6]string{"02:15", "23:59", "23:59", "00:00", "23:59", "03:00"}},
	{"%r", [6]string{"02:15:07 AM", "11:59:59 PM", "11:59:59 PM", "12:00:00 AM", "11:59:59 PM", "03:00:00 AM"}},
	{"%S", [6]string{"07", "59", "59", "00", "59", "00"}},
	{"%s", [6]string{"1719800107", "1609459199", "1704067199", "1767225600", "-1", "1711846800"}},
	{"%T", [6]string{"02:15:07", "23:59:59", "23:59:59", "00:00:00", "23:59:59", "03:00:00"}},
	{"%U", [6]string{"26", "52", "53", "00", "52", "13"}},
	{"%u", [6]string{"1", "4", "7", "4", "3", "7"}},
	{"%V", [6]string{"27", "53", "52", "01", "01", "13"}},
	{"%W", [6]string{"27", "52", "52", "00", "52", "13"}},
	{"%w", [6]string{"1", "4", "0", "4", "3", "0"}},
	{"%x", [6]string{"07/01/24", "12/31/20", "12/31/23", "01/01/26", "12/31/69", "03/31/24"}},
	{"%X", [6]string{"02:15:07", "23:59:59", "23:59:59", "00:00:00", "23:59:59", "03:00:00"}},
	{"%Y", [6]string{"2024", "2020", "2023", "2026", "1969", "2024"}},
	{"%y", [6]string{"24", "20", "23", "26", "69", "24"}},
	{"%Z", [6]string{"UTC", "UTC", "UTC", "UTC", "UTC", "CEST"}},
	{"%z", [6]string{"+0000", "+0000", "+0000", "+0000", "+0000", "+0200"}},
	{"%-d", [6]string{"1", "31", "31", "1", "31", "31"}},
	{"%-e", [6]string{"1", "31", "31", "1", "31", "31"}},
	{"%-H", [6]string{"2", "23", "23", "0", "23", "3"}},
	{"%-I", [6]string{"2", "11", "11", "12", "11", "3"}},
	{"%-j", [6]string{"183", "366", "365", "1", "365", "91"}},
	{"%-k", [6]string{"2", "23", "23", "0", "23", "3"}},
	{"%-l", [6]string{"2", "11", "11", "12", "11", "3"}},
	{"%-M", [6]string{"15", "59", "59", "0", "59", "0"}},
	{"%-m", [6]string{"7", "12", "12", "1", "12", "3"}},
	{"%-S", [6]string{"7", "59", "59", "0", "59", "0"}},
	{"%-U", [6]string{"26", "52", "53", "0", "52", "13"}},
	{"%-V", [6]string{"27", "53", "52", "1", "1", "13"}},
	{"%-W", [6]string{"27", "52", "52", "0", "52", "13"}},
	{"%-y", [6]string{"24", "20", "23", "26", "69", "24"}},
	{"%-g", [6]string{"24", "20", "23", "26", "70", "24"}},
	{"%v", [6]string{" 1-Jul-2024", "31-Dec-2020", "31-Dec-2023", " 1-Jan-2026", "31-Dec-1969", "31-Mar-2024"}},
	{"%%", [6]string{"%", "%", "%", "%", "%", "%"}},
	{"%n", [6]string{"\n", "\n", "\n", "\n", "\n", "\n"}},
	{"%t", [6]string{"\t", "\t", "\t", "\t", "\t", "\t"}},
}

func TestDirectives(t *testing.T) {
	for _, tt := range directiveTests {
		for i, at := range instants {
			f := mustCompile(t, tt.directive, mustZone(t, at.zone))
			var last Last
			if got := string(f.Append(nil, &last, at.sec, 0)); got != tt.want[i] {
				t.Errorf("%s of %d in %s: got %q, want %q", tt.directive, at.sec, at.zone, got, tt.want[i])
			}
		}
	}
}

// TestEveryDirectiveIsAllowed compares what Compile takes with what the message
// about a bad format says it takes.
func TestEveryDirectiveIsAllowed(t *testing.T) {
	for c := 0; c < 256; c++ {
		directive := "%" + string([]byte{byte(c)})
		_, err := Compile(directive, nil)
		allowed := c > ' ' && strings.Contains(Allowed+" ", directive+" ") || strings.Contains("%LfN", string(rune(c)))
		if (err == nil) != allowed {
			t.Errorf("%q: error %v, but the allowed list has it: %v", directive, err, allowed)
		}
	}
}

func TestFractions(t *testing.T) {
	for _, tt := range []struct {
		format string
		sec    int64
		nsec   int32
		want   string
	}{
		{"%L", 0, 987654321, "987"},
		{"%f", 0, 987654321, "987654"},
		{"%N", 0, 987654321, "987654321"},
		{"%1N %2N %3N", 0, 987654321, "9 98 987"},
		{"%4N %5N %6N", 0, 987654321, "9876 98765 987654"},
		{"%7N %8N %9N", 0, 987654321, "9876543 98765432 987654321"},
		{"%L %f %N", 0, 0, "000 000000 000000000"},
		{"%L %f %N", 0, 1, "000 000000 000000001"},
		{"%L %f %N", 0, 1000, "000 000001 000001000"},
		{"%L %f %N", 0, 1000000, "001 001000 001000000"},
		{"%L %f %N", 0, 999999999, "999 999999 999999999"}, // cut, not rounded to 1000
		{"%H:%M:%S.%L", 0, 999999999, "00:00:00.999"},
		{"%s%L", 1700000000, 5000000, "1700000000005"}, // milliseconds since 1970
		{"%Y-%m-%dT%H:%M:%S.%LZ", 1700000000, 123456789, "2023-11-14T22:13:20.123Z"},
		{"%Y-%m-%dT%H:%M:%S.%3NZ", 1700000000, 123456789, "2023-11-14T22:13:20.123Z"},
		{"%Y-%m-%dT%H:%M:%S.%9N%z", 1700000000, 123456789, "2023-11-14T22:13:20.123456789+0000"},
		{"%%L %%3N", 0, 123456789, "%L %3N"},
		{"%S", 0, math.MaxInt32, "02"}, // nonsense below the second still gives a time
		{"%S.%N", 0, math.MaxInt32, "02.147483647"},
		{"%S.%N", 10, -1, "09.999999999"},
		{"%S.%N", 10, -1000000000, "09.000000000"},
		{"%S.%N", 10, 1000000000, "11.000000000"},
		{"%S.%N", 10, math.MinInt32, "07.852516352"},
	} {
		var last Last
		if got := string(mustCompile(t, tt.format, nil).Append(nil, &last, tt.sec, tt.nsec)); got != tt.want {
			t.Errorf("%s of %d.%09d: got %q, want %q", tt.format, tt.sec, tt.nsec, got, tt.want)
		}
	}
}

// TestTextBesideDirectives: the strftime package joins directives and text into
// one layout of the time package, where "Jan" and "uary" became a full month,
// "Mon" and "day" a full weekday, and a digit in the text a part of the date.
func TestTextBesideDirectives(t *testing.T) {
	const sec = 1719800107 // Monday, 2024-07-01 02:15:07
	for _, tt := range []struct{ format, want string }{
		{"", "2024-07-01T02:15:07"},
		{Default, "2024-07-01T02:15:07"},
		{"%buary", "Juluary"},
		{"%aday", "Monday"},
		{"%a%%day", "Mon%day"},
		{"Jan 2006 %Y", "Jan 2006 2024"},
		{"_%Y", "_2024"},
		{"Mon Jan 2 15:04:05 MST 2006 PM .000", "Mon Jan 2 15:04:05 MST 2006 PM .000"},
		{"\"%H\" é", "\"02\" é"},
		{"%H%M%S%d%m%Y", "02150701072024"},
		{"%#d", "1"},
	} {
		var last Last
		if got := string(mustCompile(t, tt.format, nil).Append(nil, &last, sec, 0)); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.format, got, tt.want)
		}
	}
}

func TestBadFormats(t *testing.T) {
	for _, tt := range []struct{ format, want string }{
		{"%", "a lone % at byte 0"},
		{"%Y-%", "a lone % at byte 3"},
		{"%Y %-", "a lone %- at byte 3"},
		{"%H:%Q", "unknown directive %Q at byte 3"},
		{"%é", "unknown directive %é at byte 0"},
		{"%-Q", "unknown directive %-Q at byte 0"},
		{"%-N", "unknown directive %-N at byte 0"},
		{"%3", "unknown directive %3 at byte 0"},
		{"%3L", "unknown directive %3 at byte 0"},
		{"%0N", "unknown directive %0 at byte 0"},
		{"%Ey", "unknown directive %E at byte 0"},
		{"%+", "unknown directive %+ at byte 0"},
		{"%_d", "unknown directive %_ at byte 0"},
	} {
		f, err := Compile(tt.format, nil)
		if err == nil || err.Error() != tt.want || f != nil {
			t.Errorf("%q: got %v and %v, want %q", tt.format, f, err, tt.want)
		}
	}
}

// TestSummerTime walks over both changes of Berlin's clocks in 2024 with one
// Last, forwards and back, so that a text kept too long would show.
func TestSummerTime(t *testing.T) {
	f := mustCompile(t, "%Y-%m-%d %H:%M:%S.%L %Z %z", mustZone(t, "Europe/Berlin"))
	steps := []struct {
		sec  int64
		want string
	}{
		{1711846799, "2024-03-31 01:59:59.500 CET +0100"},
		{1711846800, "2024-03-31 03:00:00.500 CEST +0200"},
		{1729987199, "2024-10-27 01:59:59.500 CEST +0200"},
		{1729990799, "2024-10-27 02:59:59.500 CEST +0200"},
		{1729990800, "2024-10-27 02:00:00.500 CET +0100"},
	}
	var last Last
	check := func(i int) {
		if got := string(f.Append(nil, &last, steps[i].sec, 500_000_000)); got != steps[i].want {
			t.Errorf("%d: got %q, want %q", steps[i].sec, got, steps[i].want)
		}
	}
	for i := range steps {
		check(i)
		check(i)
	}
	for i := len(steps) - 1; i >= 0; i-- {
		check(i)
	}
}

func TestZone(t *testing.T) {
	for _, tt := range []struct {
		name string
		want *time.Location
	}{
		{"", time.UTC}, {"utc", time.UTC}, {"UTC", time.UTC}, {"local", time.Local}, {"Local", time.Local},
	} {
		if got, err := Zone(tt.name); got != tt.want || err != nil {
			t.Errorf("%q: got %v and %v, want %v", tt.name, got, err, tt.want)
		}
	}
	if got, err := Zone("Asia/Kathmandu"); err != nil || got.String() != "Asia/Kathmandu" {
		t.Errorf("got %v and %v", got, err)
	}
	for _, bad := range []string{"Mars/Olympus", "../../etc/passwd", "UTC+2"} {
		if got, err := Zone(bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: got %v and %v, want an error that names it", bad, got, err)
		}
	}
}

func TestLocalZone(t *testing.T) {
	old := time.Local
	time.Local = mustZone(t, "America/St_Johns")
	defer func() { time.Local = old }()
	var last Last
	f := mustCompile(t, "%H:%M %z", mustZone(t, "local"))
	if got, want := string(f.Append(nil, &last, 1719800107, 0)), "23:45 -0230"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestLastServesOneFormat: a Last that was used with another format, or was
// never used, must not lend its text.
func TestLastServesOneFormat(t *testing.T) {
	day, hour := mustCompile(t, "%d.%L", nil), mustCompile(t, "%H", nil)
	var last Last
	for i, want := range []string{"01.001", "02", "01.002", "02"} {
		f := day
		if i%2 == 1 {
			f = hour
		}
		if got := string(f.Append([]byte("x"), &last, 1719800107, int32(i/2+1)*1e6)); got != "x"+want {
			t.Errorf("step %d: got %q, want %q", i, got, "x"+want)
		}
	}
	var fresh Last
	if got := string(hour.Append(nil, &fresh, 0, 0)); got != "00" {
		t.Errorf("second 0 with a fresh Last: got %q, want 00", got)
	}
}

// TestOneFormatManyThreads is for the race detector.
func TestOneFormatManyThreads(t *testing.T) {
	f := mustCompile(t, "%s.%L", mustZone(t, "Europe/Berlin"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var last Last
			for i := range 1000 {
				want := "1700000" + string([]byte{byte('0' + i/100), byte('0' + i/10%10), byte('0' + i%10)}) + ".007"
				if got := string(f.Append(nil, &last, 1700000000+int64(i), 7e6)); got != want {
					t.Errorf("got %q, want %q", got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestAppendDoesNotAllocate(t *testing.T) {
	for _, format := range []string{Default, "%a, %d %b %Y %T.%9N %z %Z %s %U %C"} {
		f := mustCompile(t, format, nil)
		var last Last
		dst := make([]byte, 0, 256)
		f.Append(dst, &last, 1700000000, 0)
		sec := int64(1700000000)
		if n := testing.AllocsPerRun(100, func() { f.Append(dst, &last, sec, 5) }); n != 0 {
			t.Errorf("%s: %v allocations for the same second, want 0", format, n)
		}
		if n := testing.AllocsPerRun(100, func() { sec++; f.Append(dst, &last, sec, 5) }); n != 0 {
			t.Errorf("%s: %v allocations for a new second, want 0", format, n)
		}
	}
}

func FuzzAppend(f *testing.F) {
	f.Add(Default, int64(0), int32(0))
	f.Add("%c %G-%V-%u %3N%%", int64(math.MinInt64), int32(math.MinInt32))
	f.Add("%-d %-j %k", int64(math.MaxInt64), int32(math.MaxInt32))
	f.Fuzz(func(t *testing.T, format string, sec int64, nsec int32) {
		compiled, err := Compile(format, nil)
		if err != nil {
			return
		}
		var fresh, used Last
		compiled.Append(nil, &used, sec-1, 0)
		compiled.Append(nil, &used, sec, 0)
		a, b := compiled.Append(nil, &fresh, sec, nsec), compiled.Append(nil, &used, sec, nsec)
		if string(a) != string(b) {
			t.Errorf("%q of %d.%d: %q with a fresh Last, %q with a used one", format, sec, nsec, a, b)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, bb := range []struct {
		name, format string
		every        int
	}{{"same second", Default, 1 << 30}, {"same second, fraction", Default + ".%LZ", 1 << 30}, {"new second", Default, 1}} {
		b.Run(bb.name, func(b *testing.B) {
			f := mustCompile(b, bb.format, nil)
			var last Last
			dst := make([]byte, 0, 64)
			b.ReportAllocs()
			for i := 0; i < b.N; i++ {
				dst = f.Append(dst[:0], &last, 1700000000+int64(i/bb.every), int32(i%1e9))
			}
		})
	}
}
