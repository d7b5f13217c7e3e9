package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealthy(t *testing.T) {
	for name, c := range map[string]struct {
		code int
		want string // part of the error
	}{"good": {200, ""}, "bad": {500, `answered "HTTP/1.1 500`}, "no health check": {404, `answered "HTTP/1.1 404`}} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/api/v1/health" {
					t.Errorf("asked for %s", r.URL.Path)
				}
				w.WriteHeader(c.code)
			}))
			defer s.Close()
			check(t, healthy(s.Listener.Addr().String()), c.want)
		})
	}
}

func TestUnhealthy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answers := func(text string) {
		c, err := l.Accept()
		if err != nil {
			return
		}
		buffer := make([]byte, 1024)
		_, _ = c.Read(buffer) // the request, so that closing does not reset
		_, _ = c.Write([]byte(text))
		c.Close()
	}
	go answers("")
	check(t, healthy(l.Addr().String()), "cannot read")
	go answers("nonsense\r\n")
	check(t, healthy(l.Addr().String()), `answered "nonsense"`)
	l.Close()
	check(t, healthy(l.Addr().String()), "cannot reach")
}

func check(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("got %v, want %q", err, want)
	}
}
