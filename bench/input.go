package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

var shapeNames = []string{"kubernetes", "small", "big", "trickle"}

// Bytes of a line of each shape, about.
var shapeBytes = map[string]int{"kubernetes": 900, "small": 100, "big": 16 << 10, "trickle": 900}

// The trickle shape: as on a node with many quiet pods, each file gets a line
// now and then, at a time of its own. At Fluent Bit's default Flush of 1 s that
// is a chunk of four lines for each file and second.
const (
	trickleFiles   = 200
	trickleSeconds = 10
	tricklePerFile = 4 // lines a second in each file
)

// countOf is how many records a run of a shape has: as many bytes as there are
// in the kubernetes shape.
func countOf(shape string, records int) int {
	if shape == "trickle" {
		return trickleFiles * trickleSeconds * tricklePerFile
	}
	return max(1, records*shapeBytes["kubernetes"]/shapeBytes[shape])
}

// line is a record as JSON: what the kubernetes filter makes of a container's
// line, or one that is much smaller, or one whose text is much larger.
func line(shape string, i int) string {
	switch shape {
	case "small":
		return fmt.Sprintf(`{"log":"GET /items/%08d 200","level":"info","ms":%d,"ok":true,"service":"shop","n":%d}`, i, i%1000, i)
	case "big":
		return fmt.Sprintf(`{"log":"%08d %s","stream":"stdout","kubernetes":{"pod_name":"web-7d9c6b5f4d-x2v8q","namespace_name":"shop"}}`,
			i, strings.Repeat(`at com.example.shop.Cart.add(Cart.java:127)\n\t`, 16<<10/47))
	}
	const id = "8e1a0d7f9b3c5e2d4f6a8b0c1d3e5f7a9b1c3d5e7f9a0b2c4d6e8f0a1b3c5d7e"
	return fmt.Sprintf(`{"log":"10.0.%d.%d - - [01/Jan/2026:00:00:00 +0000] \"GET /api/v1/items/%08d?page=2&size=50 HTTP/1.1\" 200 5316 \"https://shop.example.com/\" \"Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0\"\n",`+
		`"stream":"stdout","time":"2026-01-01T00:00:00.123456789Z","kubernetes":{"pod_name":"web-frontend-7d9c6b5f4d-x2v8q","namespace_name":"production","pod_id":"0b6c1f5e-7d1a-4c9e-8f3b-2a5d6e7f8091",`+
		`"host":"ip-10-0-12-34.eu-west-1.compute.internal","container_name":"nginx","docker_id":"%s","container_hash":"%s","container_image":"shop/web:1.27.3",`+
		`"labels":{"app.kubernetes.io/name":"web-frontend","app.kubernetes.io/version":"1.27.3","pod-template-hash":"7d9c6b5f4d"},"annotations":{"checksum/config":"4f1c9d0e","prometheus.io/scrape":"true"}}}`,
		i/250%250, i%250, i, id, id)
}

// writeInput writes the records of a shape into one file, once.
func writeInput(path, shape string, n int) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range n {
		if _, err := fmt.Fprintln(w, line(shape, i)); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// openTrickle makes the files of the trickle shape, empty: the shipper finds them
// when it starts.
func openTrickle(dir string) (files []*os.File, err error) {
	for i := range trickleFiles {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("pod-%03d.log", i)))
		if err != nil {
			return files, err
		}
		files = append(files, f)
	}
	return files, nil
}

// trickle appends a line to each file in turn, evenly over the time. What is late
// since the machine was busy is made up for.
func trickle(ctx context.Context, files []*os.File) error {
	const total = trickleFiles * trickleSeconds * tricklePerFile
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	start := time.Now()
	for n := 0; n < total; {
		due := min(total, int(time.Since(start).Seconds()*trickleFiles*tricklePerFile))
		for ; n < due; n++ {
			if _, err := fmt.Fprintln(files[n%len(files)], line("trickle", n)); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
