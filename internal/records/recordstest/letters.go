package recordstest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
)

// Letters returns what is in the lines of dead letters: for each its reason, its
// log group and stream, and its record, or where that is cut or no record, "?".
func Letters(t testing.TB, lines ...string) (all []string) {
	t.Helper()
	for _, line := range lines {
		var l struct {
			Reason, Stream string
			Group          string          `json:"log_group"`
			Record         json.RawMessage `json:"record"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%.200q: %v", line, err)
		}
		if l.Record == nil {
			l.Record = json.RawMessage("?")
		}
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", l.Reason, l.Group, l.Stream, l.Record)))
	}
	return all
}

// LetterFile returns the lines of a file of dead letters, nil if there is none.
func LetterFile(t testing.TB, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// DeadLetters tests what becomes of records that are given up.
func (s *Subject) DeadLetters(t *testing.T) {
	t.Run("file", s.letterFile)
	t.Run("stream", s.letterStream)
	t.Run("no such stream", s.noLetterStream)
	t.Run("refused there too", s.lettersRefused)
}

// givenUp is a chunk of which three records are given up, for three reasons.
func givenUp() []byte {
	c := Chunk(Line("good"), Map{"lo", 1}, Line("bad"), Line(strings.Repeat("x", 5000)), Line(""))
	return append(c, 0x91, 0x05)
}

func wantLetters(t testing.TB, got []string, want ...string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%.900s\nwant\n%.900s", g, w)
	}
}

func (s *Subject) letterFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "letters")
	p, r := s.picky(t, nil, "dead_letter_file", file, "too_big", "drop", "max_record_size", "4K")
	r.Want(delivery.OK, givenUp())
	if len(p.accepted) != 1 {
		t.Errorf("%d records were accepted", len(p.accepted))
	}
	wantLetters(t, Letters(t, LetterFile(t, file)...),
		`missing_key  s {"lo":1}`, `refused  s {"log":"bad"}`, `too_large  s {"log":"`+strings.Repeat("x", 5000)+`"}`, "malformed  s ?")
	if text := LetterFile(t, file)[1]; !strings.Contains(text, `"output":"`+s.Name+`.0","tag":"tag"`) || !strings.Contains(text, "ValidationException: told by the test") ||
		!strings.Contains(text, `"time":"2023-11-14T22:13:22.123456789Z"`) {
		t.Errorf("got %s", text)
	}
	r.Account(6, 1, 0, delivery.Refused, 1, delivery.MissingKey, 1, delivery.TooLarge, 1, delivery.Empty, 1, delivery.Malformed, 1)
	r.WantCount(delivery.DeadLetters, 4)
	r.WantCount(delivery.LostLetters, 0)
}

// startDead starts an output with a stream of dead letters, and returns what is there.
func (s *Subject) startDead(t *testing.T, stream string, opts ...string) (*Rig, func() []string) {
	srv := s.Serve(t, awslocal.Config{})
	if err := srv.Kinesis().CreateStream("dead-tag", 1); err != nil {
		t.Fatal(err)
	}
	if err := srv.Firehose().CreateStream("dead-tag"); err != nil {
		t.Fatal(err)
	}
	// Options that are of no use for letters.
	opts = append([]string{"dead_letter_stream", stream, "data_keys", "log", "compression", "gzip", "too_big", "drop", "max_record_size", "4K",
		"time_key", "t", "replace_dots", "_", "simple_aggregation", "true"}, opts...)
	if s.Keys {
		opts = append(opts, "partition_key", "log", "append_newline", "true")
	}
	r := s.StartAt(t, srv.URL, append(opts, LogKey...)...)
	r.AWS = srv
	return r, func() (lines []string) {
		text := ""
		for _, rec := range s.Received(srv, "dead-tag") {
			text += rec.Data
		}
		return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
}

func (s *Subject) letterStream(t *testing.T) {
	for _, stream := range []string{"dead-tag", "dead-$(tag)"} {
		r, dead := s.startDead(t, stream)
		noise := Noise(1, 5000) + Noise(2, 5000)
		r.Want(delivery.OK, append(Chunk(Line("good"), Map{"lo.g", 1}, Line(noise)), 0x91, 0x05))
		quoted, _ := json.Marshal(noise)
		plain := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(quoted))
		wantLetters(t, Letters(t, dead()...), `missing_key  s {"lo.g":1}`, `too_large  s {"log":`+plain+`}`, "malformed  s ?")
		r.Account(4, 1, 0, delivery.MissingKey, 1, delivery.TooLarge, 1, delivery.Malformed, 1)
		r.WantCount(delivery.DeadLetters, 3)
		r.Log.NoErrors(t)
		if lines := r.Log.All("dead letters:"); len(lines) > 0 {
			t.Errorf("got %q", lines)
		}
	}
}

// A stream that is not there holds nothing up; the file takes what it does not.
func (s *Subject) noLetterStream(t *testing.T) {
	r, _ := s.startDead(t, "none")
	r.Want(delivery.OK, givenUp())
	r.WantCount(delivery.DeadLetters, 0)
	r.WantCount(delivery.LostLetters, 2) // compressed, the large one is not too large
	r.Log.Want(t, "error", "dead letters: cannot send records to", `"none", and gives them up: ResourceNotFoundException`)
	r.Log.Want(t, "warning", "2 records that were given up are not kept")

	file := filepath.Join(t.TempDir(), "letters")
	r, _ = s.startDead(t, "none", "dead_letter_file", file)
	r.Want(delivery.OK, givenUp())
	r.WantCount(delivery.DeadLetters, 2)
	r.WantCount(delivery.LostLetters, 0)
	if got := len(LetterFile(t, file)); got != 2 {
		t.Errorf("%d letters in the file, want 2", got)
	}
}

// Letters that are refused have no letters.
func (s *Subject) lettersRefused(t *testing.T) {
	calls := 0
	url := Scripted(t, func(n int, _ Request, w http.ResponseWriter) {
		calls++
		Refuse(w, 400, "ValidationException")
	})
	r := s.StartAt(t, url, append([]string{"dead_letter_stream", "dead"}, LogKey...)...)
	r.Want(delivery.OK, Chunk(Line("bad")))
	r.Account(1, 0, 0, delivery.Refused, 1)
	r.WantCount(delivery.LostLetters, 1)
	if calls != 2 {
		t.Errorf("%d calls, want the record's and its letter's", calls)
	}
	r.Log.Want(t, "warning", "dead letters:", `refuses 1 records for "dead"`)
}
