package awslocal

import (
	"fmt"
	"net"
	"testing"
)

// TestFreePort: each port is free, none is given out twice, and one that somebody
// listens on is passed over.
func TestFreePort(t *testing.T) {
	given := make(map[int]bool)
	for range 20 {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if given[port] || port < lowestPort || port > highestPort {
			t.Errorf("got %d, again or out of the range", port)
		}
		for _, taken := range []int{port, port + 1} { // and so the next one in turn
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", taken))
			if err == nil {
				defer l.Close()
			} else if taken == port {
				t.Error(err)
			}
			given[taken] = true
		}
	}
}
