// Command health is the image's health check: it ends with 0 if Fluent Bit's
// health page says ok. The image has neither a shell nor curl.
//
// It asks 127.0.0.1:2020, or the address that is its argument. Fluent Bit needs
// HTTP_Server On, and Health_Check On for more than a sign of life.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// limit is less than the 5 s that health checks are given by the task definitions.
const limit = 3 * time.Second

func main() {
	address := "127.0.0.1:2020"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	if err := healthy(address); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // its exit status is the answer
	}
}

// healthy asks for the health page. It does without net/http, which would make
// the program three times as large.
func healthy(address string) error {
	c, err := net.DialTimeout("tcp", address, limit)
	if err != nil {
		return fmt.Errorf("cannot reach fluent bit: %w", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return fmt.Errorf("cannot set a deadline: %w", err)
	}
	if _, err := fmt.Fprintf(c, "GET /api/v1/health HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", address); err != nil {
		return fmt.Errorf("cannot ask fluent bit: %w", err)
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return fmt.Errorf("cannot read fluent bit's answer: %w", err)
	}
	if f := strings.Fields(line); len(f) < 2 || f[1] != "200" {
		return fmt.Errorf("fluent bit answered %q", strings.TrimSpace(line))
	}
	return nil
}
