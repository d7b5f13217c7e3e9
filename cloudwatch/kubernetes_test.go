package cloudwatch

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/delivery"
)

// kubernetesChunk is n records of about 1 KB as the kubernetes filter makes them.
func kubernetesChunk(n int) []byte {
	var c []byte
	now := uint32(time.Now().Unix())
	for i := range n {
		c = append(c, 0x92, 0x92, 0xd7, 0x00)
		c = binary.BigEndian.AppendUint32(c, now)
		c = binary.BigEndian.AppendUint32(c, uint32(i*1000))
		c = append(c, 0x80)
		c = appendKubernetesRecord(c, i)
	}
	return c
}

func appendKubernetesRecord(c []byte, i int) []byte {
	str := func(k, v string) { c = msgp.AppendString(msgp.AppendString(c, k), v) }
	c = msgp.AppendMapHeader(c, 4)
	str("log", fmt.Sprintf(`10.1.128.166 - - [19/Dec/2019:17:41:12 +0000] "GET /api/v1/items/%08d?limit=20 HTTP/1.1" 200 612 "https://shop.example.com/cart" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36" "52.95.4.2"`+"\n", i))
	str("stream", "stdout")
	str("time", "2019-12-19T17:41:12.70630778Z")
	c = msgp.AppendString(c, "kubernetes")
	c = msgp.AppendMapHeader(c, 9)
	str("pod_name", "nginx-5468c5d4d7-n2swr")
	str("namespace_name", "default")
	str("pod_id", "198f7dd2-2270-11ea-be47-0a5d932f5920")
	str("host", "ip-10-1-128-166.us-east-2.compute.internal")
	str("container_name", "nginx")
	str("docker_id", "b90a89309ac90fff2972822c66f11736933000c5aa6376dff0c11a441fa427ee")
	str("container_hash", "0e61b143db3110f3b8ae29a67f107d5536b71a7c1f10afb14d4228711fc65a13")
	c = msgp.AppendString(c, "labels")
	c = msgp.AppendMapHeader(c, 3)
	str("app", "nginx")
	str("pod-template-hash", "5468c5d4d7")
	str("app.kubernetes.io/managed-by", "Helm")
	c = msgp.AppendString(c, "annotations")
	c = msgp.AppendMapHeader(c, 2)
	str("fluentbit.io/parser", "nginx")
	str("kubernetes.io/psp", "eks.privileged")
	return c
}

// quietEnv is an environment whose log goes nowhere.
func quietEnv() delivery.Env {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return delivery.Env{Name: "cloudwatch.0", Log: logrus.NewEntry(log), Counters: new(delivery.Counters)}
}

// optionsOf is a configuration as a map.
func optionsOf(m map[string]string) func(string) string {
	return func(name string) string { return m[name] }
}
