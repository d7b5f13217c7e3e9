package cloudwatch

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/records/recordstest"
)

// TestTooBig has records above max_event_size go in parts, or not at all.
func TestTooBig(t *testing.T) {
	t.Parallel()
	for name, unit := range units {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, out := unit.text(5000)
			c := chunkOf(record{0, line("first")}, record{1, line(in)}, record{2, line("last")})
			r := newRig(t, awslocal.Config{}, logKey, "log", "max_event_size", "1000", "too_big", "split")
			r.srv.Logs().CreateStream("g", "s")
			r.flush(delivery.OK, c)
			got, parts := recordstest.Joined(t, r.messages("g", "s"))
			if !slices.Equal(got, []string{"first", out, "last"}) || parts != 6 {
				t.Errorf("%d parts come to %.60q", parts, got)
			}
			checkParts(r, 6)

			whole := newRig(t, awslocal.Config{}, "max_event_size", "1000", "too_big", "split")
			whole.srv.Logs().CreateStream("g", "s")
			plain := newRig(t, awslocal.Config{})
			plain.srv.Logs().CreateStream("g", "s")
			whole.flush(delivery.OK, c)
			plain.flush(delivery.OK, c)
			got, parts = recordstest.Joined(t, whole.messages("g", "s"))
			if want := plain.messages("g", "s"); !slices.Equal(got, want) || parts < 6 {
				t.Errorf("%d parts come to %.60q, want %.60q", parts, got, want)
			}
			checkParts(whole, parts)

			r = newRig(t, awslocal.Config{}, logKey, "log", "max_event_size", "1000", "too_big", "drop")
			r.srv.Logs().CreateStream("g", "s")
			r.flush(delivery.OK, c)
			if got := r.messages("g", "s"); !slices.Equal(got, []string{"first", "last"}) {
				t.Errorf("got %.60q", got)
			}
			r.account(3, 2, 0, delivery.TooLarge, 1)
			r.log.Want(t, "warning", "was dropped: it is larger than option max_event_size, 1000 bytes")
		})
	}
}

// TestNotTooBig leaves what has its room as it is, to the byte.
func TestNotTooBig(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"split", "drop"} {
		r := newRig(t, awslocal.Config{}, logKey, "log", "max_event_size", "1000", "too_big", what)
		r.srv.Logs().CreateStream("g", "s")
		text := strings.Repeat("x", 1000)
		r.flush(delivery.OK, chunkOf(record{0, line(text)}))
		if got := r.messages("g", "s"); !slices.Equal(got, []string{text}) {
			t.Errorf("%s: got %.60q", what, got)
		}
		r.account(1, 1, 0)
	}
}

// checkParts checks the account of three records, one of which went in parts,
// which are events of their own to the service.
func checkParts(r *rig, parts int) {
	r.t.Helper()
	for _, m := range r.messages("g", "s") {
		if len(m) > 1000 {
			r.t.Errorf("a message has %d bytes", len(m))
		}
	}
	if got := r.srv.Logs().Total(); got != parts+2 {
		r.t.Errorf("%d events, want %d", got, parts+2)
	}
	r.srv = nil // which counts events
	r.account(3, 3, 0)
	r.wantCount(delivery.Parted, 1)
	r.wantCount(delivery.Truncated, 0)
	r.log.Want(r.t, "warning", "is larger than option max_event_size, 1000 bytes, and is sent in parts")
}

// TestPartsOfACall has parts go out in several calls, and only those of the call
// that failed go again when the chunk comes again.
func TestPartsOfACall(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "max_event_size", "500K", "too_big", "split", "retry_budget", "0")
	r.srv.Logs().CreateStream("g", "s")
	text := strings.Repeat("some text ", 200_000) // five parts, two in a call
	c := chunkOf(record{0, line(text)})
	r.srv.Script("PutLogEvents", awslocal.Fault{Kind: awslocal.None}, awslocal.Fault{Kind: awslocal.Error, Status: 500})
	r.flush(delivery.Retry, c)
	if n := len(r.messages("g", "s")); n != 2 {
		t.Errorf("%d parts have arrived, want 2", n)
	}
	r.flush(delivery.OK, c)
	messages := r.messages("g", "s")
	if got, parts := recordstest.Joined(t, messages); len(got) != 1 || got[0] != text || parts != 4 {
		t.Errorf("%d parts of %d records: %s", parts, len(got), fmt.Sprintf("%.60q", messages))
	}
	r.srv = nil
	r.account(1, 1, 0)
}
