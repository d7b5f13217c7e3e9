package jsonenc

import (
	"fmt"

	"github.com/tinylib/msgp/msgp"
)

// kubernetesChunk builds a chunk of n records of about 900 bytes of msgpack
// each, as Fluent Bit's tail input and kubernetes filter make them, with a log
// line of 200 bytes.
func kubernetesChunk(n int) []byte {
	var b []byte
	for i := range n {
		b = appendKubernetesRecord(b, i)
	}
	return b
}

func appendKubernetesRecord(b []byte, i int) []byte {
	const containerID = "8e1a0d7f9b3c5e2d4f6a8b0c1d3e5f7a9b1c3d5e7f9a0b2c4d6e8f0a1b3c5d7e"
	sec := uint32(1767225600 + i/1000)
	nsec := uint32(i%1000) * 1e6
	b = append(b, 0x92, 0x92, 0xd7, 0x00,
		byte(sec>>24), byte(sec>>16), byte(sec>>8), byte(sec),
		byte(nsec>>24), byte(nsec>>16), byte(nsec>>8), byte(nsec), 0x80)

	line := fmt.Sprintf(`10.0.%d.%d - - [01/Jan/2026:00:00:00 +0000] "GET /api/v1/items/%08d?page=2&size=50 HTTP/1.1" 200 5316 "https://shop.example.com/" "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"`, i/250%250, i%250, i)
	line = (line + "                    ")[:199] + "\n"

	str := func(k, v string) { b = msgp.AppendString(msgp.AppendString(b, k), v) }
	dict := func(k string, n uint32) { b = msgp.AppendMapHeader(msgp.AppendString(b, k), n) }

	b = append(b, 0xde, 0, 4) // as Fluent Bit writes the header of a body, whatever the number
	str("log", line)
	str("stream", "stdout")
	str("time", fmt.Sprintf("2026-01-01T00:00:%02d.%09dZ", i/1000%60, nsec))
	dict("kubernetes", 10)
	str("pod_name", "web-frontend-7d9c6b5f4d-x2v8q")
	str("namespace_name", "production")
	str("pod_id", "0b6c1f5e-7d1a-4c9e-8f3b-2a5d6e7f8091")
	str("host", "ip-10-0-12-34.eu-west-1.compute.internal")
	str("container_name", "nginx")
	str("docker_id", containerID)
	str("container_hash", "registry.example.com/shop/web@sha256:"+containerID)
	str("container_image", "registry.example.com/shop/web:1.27.3")
	dict("labels", 3)
	str("app.kubernetes.io/name", "web-frontend")
	str("app.kubernetes.io/version", "1.27.3")
	str("pod-template-hash", "7d9c6b5f4d")
	dict("annotations", 2)
	str("checksum/config", "4f1c9d0e")
	str("prometheus.io/scrape", "true")
	return b
}
