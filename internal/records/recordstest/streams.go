package recordstest

import (
	"slices"
	"strings"
	"testing"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
)

// StreamsByTag sends each chunk where its tag says, and lets one stream that
// is not there hold back its own chunks alone.
func (s *Subject) StreamsByTag(t *testing.T) {
	t.Parallel()
	srv, err := awslocal.Start(awslocal.Config{KinesisStreams: map[string]int{"logs-a": 1, "logs-none": 1}, DeliveryStreams: []string{"logs-a", "logs-none"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	r := s.StartAt(t, srv.URL, s.Options[0], "logs-$(tag[1]|none)", "log_key", "log", "retry_budget", "0")
	for _, tt := range []struct {
		tag, text string
		want      delivery.Result
	}{
		{"app.a", "1", delivery.OK}, {"app.c", "2", delivery.Retry}, {"app", "3", delivery.OK}, {"app.a.x", "4", delivery.OK}, {"app.c", "5", delivery.Retry},
	} {
		if got := r.Flush(delivery.Chunk{Tag: tt.tag, Data: Chunk(Line(tt.text))}); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.tag, got, tt.want)
		}
	}
	for stream, want := range map[string][]string{"logs-a": {"1", "4"}, "logs-none": {"3"}} {
		var got []string
		for _, rec := range s.Received(srv, stream) {
			got = append(got, strings.TrimSpace(rec.Data))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s has %q, want %q", stream, got, want)
		}
	}
	// What is said of one stream is not said to be over by another.
	if log := strings.Join(r.Log.All(), "\n"); strings.Count(log, "cannot send records") != 1 || strings.Contains(log, "records reach") {
		t.Errorf("log:\n%s", log)
	}
}
