package awslocal

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
)

// Ports below those that the kernel gives to connections by itself, see ip(7),
// ip_local_port_range.
const lowestPort, highestPort = 10000, 32767

var portsGiven atomic.Int64

// FreePort returns a port of 127.0.0.1 that nobody listens on, and that it has not
// returned yet, for a program which has to be told its port. One of those that the
// kernel chooses could be taken by a connection before that program listens on it.
func FreePort() (int, error) {
	for range highestPort - lowestPort {
		port := lowestPort + (os.Getpid()*100+int(portsGiven.Add(1)))%(highestPort-lowestPort)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no port is free from %d to %d", lowestPort, highestPort)
}
