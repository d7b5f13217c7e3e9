package flb

import (
	"io"
	"sort"
	"strings"
	"time"

	"fmt"

	"github.com/sirupsen/logrus"
)

// Fluent Bit's log levels (include/fluent-bit/flb_log.h). Its 0 is off, its 5
// is trace.
const (
	levelError = 1
	levelWarn  = 2
	levelInfo  = 3
	levelDebug = 4
	levelTrace = 5
)

// maxLine is the most that a log line may hold: Fluent Bit cuts its lines at
// 4,096 bytes with their time (src/flb_log.c, struct log_message), without a word.
const maxLine = 3900

// logLevel returns the level for an instance. known is the instance's own in
// Fluent Bit, -1 when Fluent Bit does not tell; env is FLB_LOG_LEVEL, with
// which AWS's plugins were told theirs.
//
// Fluent Bit's level holds. Only FLB_LOG_LEVEL=debug does something beside it,
// since nobody sets that save to find a fault, and AWS's pages say to.
func logLevel(known int, env string) logrus.Level {
	if known < 0 {
		known = levelInfo
		switch strings.ToLower(env) {
		case "off":
			known = 0
		case "error":
			known = levelError
		case "warn", "warning":
			known = levelWarn
		case "trace":
			known = levelTrace
		}
	}
	if strings.EqualFold(env, "debug") {
		known = max(known, levelDebug)
	}
	switch known {
	case 0:
		return logrus.PanicLevel // which nothing here logs at
	case levelError:
		return logrus.ErrorLevel
	case levelWarn:
		return logrus.WarnLevel
	case levelInfo:
		return logrus.InfoLevel
	case levelDebug:
		return logrus.DebugLevel
	}
	return logrus.TraceLevel
}

// flbLevel returns Fluent Bit's number for a logrus level.
func flbLevel(l logrus.Level) int {
	switch l {
	case logrus.TraceLevel:
		return levelTrace
	case logrus.DebugLevel:
		return levelDebug
	case logrus.InfoLevel:
		return levelInfo
	case logrus.WarnLevel:
		return levelWarn
	}
	return levelError
}

// newLog returns a log whose lines start with prefix and end up in Fluent Bit's.
func newLog(prefix string, level logrus.Level) *logrus.Entry {
	l := logrus.New()
	l.SetLevel(level)
	l.SetOutput(io.Discard)
	l.SetFormatter(noFormat{})
	l.AddHook(hook{prefix: prefix, write: writeLine})
	// Should anyone call Fatal: it is the user's Fluent Bit that would end.
	l.ExitFunc = func(int) {}
	return logrus.NewEntry(l)
}

// noFormat is for a logger that does all its work in a hook.
type noFormat struct{}

func (noFormat) Format(*logrus.Entry) ([]byte, error) { return nil, nil }

// hook hands what is logged to write, line by line.
type hook struct {
	prefix string
	write  func(level int, line string)
}

func (h hook) Levels() []logrus.Level { return logrus.AllLevels }

func (h hook) Fire(e *logrus.Entry) error {
	text := e.Message + fields(e.Data)
	for _, line := range strings.Split(text, "\n") {
		h.write(flbLevel(e.Level), cutLine(h.prefix+clean(line)))
	}
	return nil
}

// fields writes a log entry's fields in the order of their names.
func fields(data logrus.Fields) string {
	if len(data) == 0 {
		return ""
	}
	names := make([]string, 0, len(data))
	for n := range data {
		names = append(names, n)
	}
	sort.Strings(names)
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, " %s=%v", n, data[n])
	}
	return b.String()
}

// clean replaces control characters, which an error from outside may hold: with
// them a line could pass for another, or drive the terminal it is read on.
func clean(line string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < ' ' || r == 0x7f:
			return '?'
		}
		return r
	}, line)
}

func cutLine(line string) string {
	const mark = " [cut]"
	if len(line) <= maxLine {
		return line
	}
	return strings.ToValidUTF8(line[:maxLine-len(mark)], "") + mark
}

// appendLine is a line in the format of Fluent Bit's log (src/flb_log.c,
// log_prepare_header), for when Fluent Bit itself cannot be asked to write it.
func appendLine(dst []byte, now time.Time, level int, line string) []byte {
	names := [...]string{levelError: "error", levelWarn: "warn", levelInfo: "info", levelDebug: "debug", levelTrace: "trace"}
	dst = append(dst, '[')
	dst = now.AppendFormat(dst, "2006/01/02 15:04:05.000")
	dst = fmt.Appendf(dst, "] [%5s] ", names[level])
	dst = append(dst, line...)
	return append(dst, '\n')
}
