package cloudwatch

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

// sinkEnv makes the test binary a sink for requests: a process of its own, so
// that what it costs is not counted. TestMain looks at it.
const sinkEnv = "CLOUDWATCH_TEST_SINK"

// serveSink answers every request with an empty object until its standard input
// is closed.
func serveSink() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(l.Addr())
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.Header().Set("X-Amzn-Requestid", "0")
			_, _ = io.WriteString(w, "{}")
		}))
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
}
