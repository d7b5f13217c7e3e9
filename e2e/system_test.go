//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/awslocal"
)

// The pods of the article's cluster.
var (
	nginxPod = pod{
		namespace: "default", name: "nginx-5468c5d4d7-n2swr", uid: "198f7dd2-2270-11ea-be47-0a5d932f5920",
		node:        "ip-10-1-128-166.us-east-2.compute.internal",
		labels:      map[string]string{"app": "nginx", "pod-template-hash": "5468c5d4d7"},
		annotations: map[string]string{"fluentbit.io/parser": "nginx", "kubernetes.io/psp": "eks.privileged"},
		container:   "nginx", id: "b90a89309ac90fff2972822c66f11736933000c5aa6376dff0c11a441fa427ee",
		image: "nginx:1.17-alpine", imageHash: "0e61b143db3110f3b8ae29a67f107d5536b71a7c1f10afb14d4228711fc65a13",
	}
	userServicePod = pod{
		namespace: "default", name: "user-service-7d9f8c6b54-q4x2v", uid: "5d0fe0a8-2270-11ea-be47-0a5d932f5920",
		node:      nginxPod.node,
		labels:    map[string]string{"app": "user-service"},
		container: "user-service", id: "0bfe935e70c321c7ca3afc75ce0d0ca2f98b5422e008bb31c00c6d7f1f1c0ad6",
		image: "user-service:3", imageHash: "18ac3e7343f016890c510e93f935261169d9e3f565436429830faf0934f4f8e4",
	}
	quietPod = pod{
		namespace: "default", name: "chatty-6c5cf7d7d9-zzzzz", uid: "77777777-2270-11ea-be47-0a5d932f5920",
		node:        nginxPod.node,
		annotations: map[string]string{"fluentbit.io/exclude": "true"},
		container:   "chatty", id: "480a93d2e9b094b89e08e01976089ac18193af802c66b631cc8d2dc1bae8c880",
		image: "chatty:1", imageHash: "2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6",
	}
	// The pod of Fluent Bit itself, whose metadata its filter asks for at start.
	fluentbitPod = pod{
		namespace: "fluentbit-system", name: "fluentbit-7hx5k", uid: "88888888-2270-11ea-be47-0a5d932f5920",
		node:      nginxPod.node,
		container: "aws-for-fluent-bit", id: "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
		image: "aws-for-fluent-bit:1", imageHash: "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d",
	}
)

// articleTime is when the article's record was made; the stand-in of CloudWatch
// Logs takes it for now, as it refuses what is older than 14 days.
var articleTime = time.Date(2019, 12, 19, 17, 42, 0, 0, time.UTC)

const (
	articleStamp = "2019-12-19T17:41:12.70630778Z"
	jsonStamp    = "2019-12-19T17:41:13.1Z"
)

func article(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/article", file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// object decodes JSON as a consumer does.
func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return o
}

// replace returns text with each old, which must be there, replaced by new.
func replace(t *testing.T, text string, oldnew ...string) string {
	t.Helper()
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(text, oldnew[i]) {
			t.Fatalf("the configuration has no %q:\n%s", oldnew[i], text)
		}
		text = strings.ReplaceAll(text, oldnew[i], oldnew[i+1])
	}
	return text
}

// withoutService takes the [SERVICE] section out, which start writes itself.
func withoutService(t *testing.T, text string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "[INPUT]")
	if !ok {
		t.Fatal("the configuration has no [INPUT]")
	}
	return "[INPUT]" + rest
}

var articleTable = newTable("the record of nginx, as AWS's article prints it and as it arrived in the group fluentbit-cloudwatch",
	"key", "article", "arrived")

// flat returns the leaves of an object by their paths.
func flat(o map[string]any, prefix string, into map[string]string) map[string]string {
	for k, v := range o {
		if m, ok := v.(map[string]any); ok {
			flat(m, prefix+k+".", into)
			continue
		}
		into[prefix+k] = fmt.Sprintf("%q", v)
	}
	return into
}

// The article's own configuration, as it stands but for the addresses, makes
// the article's own records of the same container logs.
func TestArticle(t *testing.T) {
	root := t.TempDir()
	pods := []pod{nginxPod, userServicePod, quietPod, fluentbitPod}
	for i := range pods {
		pods[i].runtime = "docker"
	}
	api := startKubeAPI(t, pods...)
	aws := startAWS(t, awslocal.Config{Now: func() time.Time { return articleTime }})
	files := make([]string, len(pods))
	for i, p := range pods {
		files[i] = p.makeLog(t, root)
	}
	config := replace(t, withoutService(t, article(t, "fluent-bit.conf")),
		// Relative to root, so that tags are those of a node.
		"/var/log/", "var/log/",
		"    Kube_URL            https://kubernetes.default.svc.cluster.local:443", api.filterLines(),
		"    region us-east-2", "    region us-east-2\n    endpoint "+aws.URL+"\n    workers 1")
	p := start(t, run{dir: root, config: config, service: "Parsers_File " + shipped(t, "demo/parsers.conf"), env: []string{"HOSTNAME=" + fluentbitPod.name}})
	for _, f := range files {
		p.waitLog(`inotify_fs_add\(\): inode=\d+ watch_fd=\d+ name=.*`+filepath.Base(linkOf(f, pods)), 20*time.Second)
	}
	nginx, signup := object(t, article(t, "nginx.json")), object(t, article(t, "json.json"))
	appendTo(t, files[0], dockerLine(strings.TrimSuffix(nginx["log"].(string), "\n"), articleStamp))
	appendTo(t, files[1], dockerLine(signup["log"].(string), jsonStamp))
	appendTo(t, files[2], dockerLine("excluded", articleStamp))
	p.wait("two records have arrived", 30*time.Second, func() bool { return aws.Logs().Total() >= 2 })
	p.stop(20 * time.Second)

	if lines := slices.DeleteFunc(p.problems(), harmless); len(lines) > 0 {
		t.Errorf("the log has errors or warnings: %q", lines)
	}
	if n := aws.Logs().Total(); n != 2 {
		t.Errorf("%d records arrived, want 2: the third pod is excluded", n)
	}
	got := one(t, aws, nginxPod)
	checkAgainst(t, "the record of nginx", got, nginx)
	have, want := flat(got, "", map[string]string{}), flat(nginx, "", map[string]string{})
	all := maps.Clone(want)
	maps.Copy(all, have)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		articleTable.add(k, want[k], have[k])
	}

	got = one(t, aws, userServicePod)
	if !reflect.DeepEqual(got["data"], signup["data"]) {
		t.Errorf("data is %v, want %v", got["data"], signup["data"])
	}
	if got["log"] != signup["log"].(string)+"\n" { // docker keeps the newline
		t.Errorf("log is %q, want %q", got["log"], signup["log"])
	}
	// The filter parses the time in nginx's line, which is to the second.
	if e := aws.Logs().Stream("fluentbit-cloudwatch", streamOf(nginxPod)).Events()[0]; e.Timestamp != time.Date(2019, 12, 19, 17, 41, 12, 0, time.UTC).UnixMilli() {
		t.Errorf("nginx's event is of %v", time.UnixMilli(e.Timestamp))
	}
	for _, p := range []pod{nginxPod, userServicePod, quietPod, fluentbitPod} {
		if r := fmt.Sprintf("GET /api/v1/namespaces/%s/pods/%s 200", p.namespace, p.name); api.requests()[r] == 0 {
			t.Errorf("the Kubernetes API has not seen %s, but %v", r, api.requests())
		}
	}
}

func linkOf(file string, pods []pod) string {
	for _, p := range pods {
		if strings.Contains(file, p.id) || strings.Contains(file, p.uid) {
			return p.logLink()
		}
	}
	return file
}

// streamOf is where the article's configuration sends a pod's records.
func streamOf(p pod) string { return "fluentbit-kube." + strings.ReplaceAll(p.logLink(), "/", ".") }

// one returns the only record in a pod's stream.
func one(t *testing.T, aws *awslocal.Server, p pod) map[string]any {
	t.Helper()
	st := aws.Logs().Stream("fluentbit-cloudwatch", streamOf(p))
	if st == nil || st.Len() != 1 {
		t.Fatalf("stream %s has not one record; streams: %v", streamOf(p), aws.Logs().Streams())
	}
	return object(t, st.Messages()[0])
}

// checkAgainst holds a record against the article's. Fluent Bit says more of a
// container now than it did in 2019, and has the image's name before its hash;
// everything else must be the same.
func checkAgainst(t *testing.T, what string, got, want map[string]any) {
	t.Helper()
	got = object(t, toJSON(t, got)) // a copy
	k, ok := got["kubernetes"].(map[string]any)
	if !ok {
		t.Errorf("%s has no kubernetes: %v", what, got)
		return
	}
	for key, value := range map[string]string{"container_image": nginxPod.image, "pod_ip": "10.1.130.7"} {
		if k[key] != value {
			t.Errorf("%s: %s is %v, want %v", what, key, k[key], value)
		}
		delete(k, key)
	}
	hash, _ := k["container_hash"].(string)
	k["container_hash"], ok = strings.CutPrefix(hash, "nginx@sha256:")
	if !ok {
		t.Errorf("%s: container_hash is %q", what, hash)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is\n%s, want\n%s", what, toJSON(t, got), toJSON(t, want))
	}
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// shipped is the path of a file of the repository.
func shipped(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// serviceLines are the lines of the [SERVICE] section of a shipped configuration
// that the harness does not write itself.
func serviceLines(t *testing.T, text string) string {
	t.Helper()
	head, _, _ := strings.Cut(text, "[INPUT]")
	_, head, ok := strings.Cut(head, "[SERVICE]\n")
	if !ok {
		t.Fatal("the configuration has no [SERVICE]")
	}
	var lines []string
	for _, l := range strings.Split(head, "\n") {
		l = strings.TrimSpace(l)
		key := strings.ToLower(strings.SplitN(l, " ", 2)[0])
		if strings.HasPrefix(l, "#") || slices.Contains([]string{"flush", "grace", "log_level", "http_server", "http_listen", "http_port"}, key) {
			continue
		}
		lines = append(lines, l)
	}
	return strings.Join(lines, "\n")
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The DaemonSet's configuration with all three outputs, on a node whose pods run
// in docker and one whose pods run in containerd: each record is in CloudWatch
// Logs, Kinesis and Firehose, once, and is the article's.
func TestDaemonSet(t *testing.T) {
	for _, runtime := range []string{"docker", "containerd"} {
		t.Run(runtime, func(t *testing.T) {
			root := t.TempDir()
			pods := []pod{nginxPod, userServicePod, quietPod, fluentbitPod}
			for i := range pods {
				pods[i].runtime = runtime
			}
			nginx, signup := object(t, article(t, "nginx.json")), object(t, article(t, "json.json"))
			line := func(text, at string) string { return dockerLine(text, at) }
			if runtime == "containerd" {
				line = criLine
				// No newline there, and the parser keeps whether the line is whole.
				nginx["log"] = strings.TrimSuffix(nginx["log"].(string), "\n")
				nginx["_p"] = "F"
			}
			texts := []string{
				line(strings.TrimSuffix(nginx["log"].(string), "\n"), articleStamp),
				line(signup["log"].(string), jsonStamp),
				line("excluded", articleStamp),
				line("by fluent bit itself", articleStamp), // excluded, too: the DaemonSet has the annotation
			}
			pods[3].annotations = map[string]string{"fluentbit.io/exclude": "true"}
			for i, p := range pods {
				appendTo(t, p.makeLog(t, root), texts[i])
			}
			api := startKubeAPI(t, pods...)
			aws := startAWS(t, awslocal.Config{
				Now:             func() time.Time { return articleTime },
				KinesisStreams:  map[string]int{"fluentbit-kinesis": 2},
				DeliveryStreams: []string{"fluentbit-firehose"},
			})
			const dir = "../deploy/kubernetes/"
			outputs, err := filepath.Glob(dir + "components/output-*/output-*.conf")
			if err != nil || len(outputs) != 3 {
				t.Fatalf("outputs %v, %v", outputs, err)
			}
			for _, o := range outputs {
				writeNew(t, filepath.Join(root, filepath.Base(o)), replace(t, read(t, o),
					"${AWS_REGION}\n", "${AWS_REGION}\n    endpoint "+aws.URL+"\n",
					"/var/lib/fluent-bit", filepath.Join(root, "state")))
			}
			if err := os.Mkdir(filepath.Join(root, "state"), 0o755); err != nil {
				t.Fatal(err)
			}
			conf := replace(t, read(t, dir+"base/fluent-bit.conf"),
				"/var/log/", "var/log/",
				"/var/lib/fluent-bit", filepath.Join(root, "state"),
				"/fluent-bit/parsers/parsers.conf", shipped(t, "demo/parsers.conf"),
				"    Kube_URL            https://kubernetes.default.svc.cluster.local:443", api.filterLines())
			p := start(t, run{dir: root, config: withoutService(t, conf), service: serviceLines(t, conf),
				env: []string{"HOSTNAME=" + fluentbitPod.name, "AWS_REGION=us-east-2"}})
			p.wait("all records have arrived", 30*time.Second, func() bool {
				return aws.Logs().Total() >= 2 && aws.Kinesis().Total() >= 2 && aws.Firehose().Total() >= 2
			})
			if health, err := p.get("/api/v1/health"); err != nil || health != "ok\n" {
				t.Errorf("the readiness probe got %q, %v", health, err)
			}
			if _, err := p.get("/"); err != nil {
				t.Errorf("the liveness probe got %v", err)
			}
			p.stop(20 * time.Second)
			if lines := slices.DeleteFunc(p.problems(), harmless); len(lines) > 0 {
				t.Errorf("the log has errors or warnings: %q", lines)
			}

			checkAgainst(t, "CloudWatch's record of nginx", one(t, aws, nginxPod), nginx)
			if got := one(t, aws, userServicePod); !reflect.DeepEqual(got["data"], signup["data"]) {
				t.Errorf("CloudWatch's record has data %v, want %v", got["data"], signup["data"])
			}
			var kinesis, firehose []string
			for _, r := range aws.Kinesis().Stream("fluentbit-kinesis").Records() {
				kinesis = append(kinesis, string(r.Data))
				if o := object(t, string(r.Data)); r.PartitionKey != o["kubernetes"].(map[string]any)["docker_id"] {
					t.Errorf("the partition key is %q", r.PartitionKey)
				}
			}
			for _, r := range aws.Firehose().Stream("fluentbit-firehose").Records() {
				firehose = append(firehose, string(r))
			}
			checkAgainst(t, "Kinesis' record of nginx", ofPod(t, kinesis, nginxPod), nginx)
			annotations := nginx["kubernetes"].(map[string]any)["annotations"].(map[string]any)
			for k, v := range annotations { // the output's replace_dots
				delete(annotations, k)
				annotations[strings.ReplaceAll(k, ".", "_")] = v
			}
			checkAgainst(t, "Firehose's record of nginx", ofPod(t, firehose, nginxPod), nginx)
			for name, n := range map[string]int{"CloudWatch": aws.Logs().Total(), "Kinesis": len(kinesis), "Firehose": len(firehose)} {
				if n != 2 {
					t.Errorf("%s has %d records, want 2", name, n)
				}
			}
		})
	}
}

// ofPod returns the only one of the records that is of a pod.
func ofPod(t *testing.T, records []string, p pod) (found map[string]any) {
	t.Helper()
	for _, r := range records {
		o := object(t, r)
		if k, ok := o["kubernetes"].(map[string]any); ok && k["pod_name"] == p.name {
			if found != nil {
				t.Errorf("two records of %s", p.name)
			}
			found = o
		}
	}
	return found
}

// startRaw starts fluent-bit with these arguments alone.
func startRaw(t *testing.T, dir string, env []string, args ...string) *process {
	t.Helper()
	program, err := exec.LookPath("fluent-bit")
	if err != nil {
		t.Skip("SKIP: no fluent-bit on the PATH")
	}
	p := &process{t: t, dir: dir, log: newLogBuffer(), exited: make(chan struct{})}
	p.cmd = exec.Command(program, args...)
	p.cmd.Dir, p.cmd.Env = dir, append(awsEnv(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // its result is read from ProcessState
		close(p.exited)
	}()
	t.Cleanup(func() {
		select {
		case <-p.exited:
		default:
			_ = p.cmd.Process.Kill()
			<-p.exited
		}
		if t.Failed() {
			t.Logf("end of fluent-bit's log:\n%s", p.log.tail(60))
		}
	})
	return p
}

// entrypoint are the arguments of the image's ENTRYPOINT, for the plugins of bin.
func entrypoint(t *testing.T) (args []string) {
	t.Helper()
	m := regexp.MustCompile(`(?m)^ENTRYPOINT (\[.*\])$`).FindStringSubmatch(read(t, "../Dockerfile"))
	if m == nil {
		t.Fatal("the Dockerfile has no ENTRYPOINT")
	}
	if err := json.Unmarshal([]byte(m[1]), &args); err != nil {
		t.Fatal(err)
	}
	for i := range args {
		args[i] = strings.Replace(args[i], "/fluent-bit/", bin+"/", 1)
	}
	return args[1:]
}

// The image's configuration, in both formats, passes --dry-run, and runs as the
// image runs it, which loads the plugins twice: what comes by the forward
// protocol goes to CloudWatch Logs.
func TestImageConfiguration(t *testing.T) {
	for _, name := range []string{"fluent-bit.conf", "fluent-bit.yaml"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			aws := startAWS(t, awslocal.Config{})
			port, http := freePort(t), freePort(t)
			separator := ": "
			if name == "fluent-bit.conf" {
				separator = " "
			}
			text := replace(t, shippedText(t, name), "/fluent-bit/parsers/parsers.conf", shipped(t, "demo/parsers.conf"))
			plugins := replace(t, shippedText(t, "plugins.conf"), "/fluent-bit/", bin+"/")
			writeNew(t, filepath.Join(dir, "plugins.conf"), plugins)
			if name == "fluent-bit.yaml" {
				text = replace(t, text, "  - /fluent-bit/", "  - "+bin+"/")
			}
			asIs := filepath.Join(dir, name)
			writeNew(t, asIs, text)
			dry := startRaw(t, dir, []string{"AWS_REGION=us-east-2"}, "--dry-run", "-c", asIs)
			if code := dry.end(20 * time.Second); code != 0 || !strings.Contains(dry.log.String(), "configuration test is successful") {
				t.Errorf("--dry-run ended with %d:\n%s", code, dry.log)
			}

			text = regexp.MustCompile(`(?mi)^( +port:? +)24224$`).ReplaceAllString(text, fmt.Sprintf("${1}%d", port))
			text = regexp.MustCompile(`(?mi)^( +http_port:? +)2020$`).ReplaceAllString(text, fmt.Sprintf("${1}%d", http))
			text = replace(t, text, "0.0.0.0", "127.0.0.1")
			text = regexp.MustCompile(`(?m)^( +)region.*AWS_REGION}$`).ReplaceAllString(text, "$0\n${1}endpoint"+separator+aws.URL)
			writeNew(t, asIs, text)
			p := startRaw(t, dir, []string{"AWS_REGION=us-east-2"}, append(entrypoint(t), "-c", asIs)...)
			p.metrics = fmt.Sprintf("http://127.0.0.1:%d", http)
			p.waitLog(`listening on 127\.0\.0\.1:`+fmt.Sprint(port), 20*time.Second)
			forward(t, fmt.Sprintf("127.0.0.1:%d", port), "app", map[string]string{"log": "hello"})
			p.wait("the record has arrived", 20*time.Second, func() bool { return aws.Logs().Total() == 1 })
			if health, err := p.get("/api/v1/health"); err != nil || health != "ok\n" {
				t.Errorf("the health check got %q, %v", health, err)
			}
			p.stop(20 * time.Second)
			if got := aws.Logs().Stream("fluentbit-cloudwatch", "from-fluent-bit-app").Messages(); !reflect.DeepEqual(got, []string{`{"log":"hello"}`}) {
				t.Errorf("arrived: %q", got)
			}
			if lines := slices.DeleteFunc(p.problems(), harmless); len(lines) > 0 {
				t.Errorf("the log has errors or warnings: %q", lines)
			}
		})
	}
}

func shippedText(t *testing.T, name string) string { return read(t, shipped(t, name)) }

// Without a region the image says what it lacks.
func TestImageWithoutRegion(t *testing.T) {
	dir := t.TempDir()
	text := replace(t, shippedText(t, "fluent-bit.conf"), "/fluent-bit/parsers/parsers.conf", shipped(t, "demo/parsers.conf"),
		"24224", fmt.Sprint(freePort(t)), "2020", fmt.Sprint(freePort(t)), "0.0.0.0", "127.0.0.1")
	writeNew(t, filepath.Join(dir, "fluent-bit.conf"), text)
	writeNew(t, filepath.Join(dir, "plugins.conf"), replace(t, shippedText(t, "plugins.conf"), "/fluent-bit/", bin+"/"))
	p := startRaw(t, dir, nil, "-c", filepath.Join(dir, "fluent-bit.conf"))
	if code := p.end(20 * time.Second); code == 0 || !strings.Contains(p.log.String(), "option region: it is required and not set") {
		t.Errorf("it ended with %d:\n%s", code, p.log)
	}
}

// forward sends a record as docker's fluentd log driver does: a message in
// Forward's Message Mode, https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1
func forward(t *testing.T, address, tag string, record map[string]string) {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := msgp.AppendArrayHeader(nil, 3)
	b = msgp.AppendString(b, tag)
	b = msgp.AppendInt64(b, time.Now().Unix())
	b = msgp.AppendMapStrStr(b, record)
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

// firelens is the configuration that ECS' agent makes of a task definition and
// mounts over /fluent-bit/etc/fluent-bit.conf.
// https://aws.amazon.com/blogs/containers/under-the-hood-firelens-for-amazon-ecs-tasks/
func firelens(t *testing.T, file, socket string, port int, external, endpoint string) (config, app string) {
	t.Helper()
	var task struct {
		ContainerDefinitions []struct {
			Name                  string
			FirelensConfiguration struct{ Options map[string]string }
			LogConfiguration      struct {
				LogDriver string
				Options   map[string]string
			}
		}
	}
	if err := json.Unmarshal([]byte(read(t, file)), &task); err != nil {
		t.Fatal(err)
	}
	config = section("INPUT", "Name tcp", "Listen 127.0.0.1", fmt.Sprintf("Port %d", freePort(t)), "Tag firelens-healthcheck") +
		section("INPUT", "Name forward", "unix_path "+socket) +
		section("INPUT", "Name forward", "Listen 127.0.0.1", fmt.Sprintf("Port %d", port)) +
		section("FILTER", "Name record_modifier", "Match *", "Record ecs_cluster default",
			"Record ecs_task_arn arn:aws:ecs:us-east-2:123456789012:task/default/158d1c8083dd49d6b527399fd6414f5c",
			"Record ecs_task_definition "+strings.TrimSuffix(filepath.Base(file), ".json")+":1")
	for _, c := range task.ContainerDefinitions {
		if value := c.FirelensConfiguration.Options["config-file-value"]; value != "" {
			if filepath.Dir(value) != "/fluent-bit/configs" {
				t.Errorf("the image has no %s", value)
			}
			config += "@INCLUDE " + filepath.Join(external, filepath.Base(value)) + "\n\n"
		}
	}
	config += section("OUTPUT", "Name null", "Match firelens-healthcheck")
	for _, c := range task.ContainerDefinitions {
		if c.LogConfiguration.LogDriver != "awsfirelens" {
			continue
		}
		app = c.Name
		lines := []string{"Name " + c.LogConfiguration.Options["Name"], "Match " + app + "-firelens*", "endpoint " + endpoint}
		for _, k := range slices.Sorted(maps.Keys(c.LogConfiguration.Options)) {
			if k != "Name" && k != "log-driver-buffer-limit" {
				lines = append(lines, k+" "+c.LogConfiguration.Options[k])
			}
		}
		config += section("OUTPUT", lines...)
	}
	return config, app
}

// Each task definition, as FireLens turns it into a configuration: what an
// application writes arrives, with the task's metadata.
func TestFireLens(t *testing.T) {
	for _, plugin := range []string{"cloudwatch", "kinesis", "firehose"} {
		t.Run(plugin, func(t *testing.T) {
			dir := t.TempDir()
			aws := startAWS(t, awslocal.Config{KinesisStreams: map[string]int{"fluentbit-kinesis": 1}, DeliveryStreams: []string{"fluentbit-firehose"}})
			http, port, socket := freePort(t), freePort(t), filepath.Join(dir, "fluent.sock")
			writeNew(t, filepath.Join(dir, "minimize-log-loss.conf"),
				replace(t, read(t, "../deploy/image/configs/minimize-log-loss.conf"), "HTTP_Port    2020", fmt.Sprintf("HTTP_Port    %d", http)))
			config, app := firelens(t, "../deploy/ecs/"+plugin+".json", socket, port, dir, aws.URL)
			writeNew(t, filepath.Join(dir, "fluent-bit.conf"), config)
			p := startRaw(t, dir, []string{"ECS_CONTAINER_METADATA_URI_V4=" + aws.TaskMetadataV4()},
				append(entrypoint(t), "-c", filepath.Join(dir, "fluent-bit.conf"))...)
			p.metrics = fmt.Sprintf("http://127.0.0.1:%d", http)
			p.wait("the socket is there", 20*time.Second, func() bool { _, err := os.Stat(socket); return err == nil })
			const id = "158d1c8083dd49d6b527399fd6414f5c-1234"
			forward(t, socket, app+"-firelens-158d1c8083dd49d6b527399fd6414f5c", map[string]string{
				"container_id": id, "container_name": "nginx", "source": "stdout", "log": "hello"})
			arrived := map[string]func() []string{
				"cloudwatch": func() (all []string) {
					for _, st := range aws.Logs().Streams() {
						if !strings.HasPrefix(st.Group, "/ecs/") || !strings.HasPrefix(st.Name, "nginx-") {
							t.Errorf("a record is in %s, %s", st.Group, st.Name)
						}
						all = append(all, st.Messages()...)
					}
					return all
				},
				"kinesis": func() (all []string) {
					for _, r := range aws.Kinesis().Stream("fluentbit-kinesis").Records() {
						if r.PartitionKey != id {
							t.Errorf("the partition key is %q", r.PartitionKey)
						}
						all = append(all, string(r.Data))
					}
					return all
				},
				"firehose": func() (all []string) {
					for _, r := range aws.Firehose().Stream("fluentbit-firehose").Records() {
						all = append(all, string(r))
					}
					return all
				},
			}[plugin]
			p.wait("the record has arrived", 20*time.Second, func() bool { return len(arrived()) > 0 })
			if health, err := p.get("/api/v1/health"); err != nil || health != "ok\n" {
				t.Errorf("the health check got %q, %v", health, err)
			}
			p.stop(30 * time.Second)
			got := arrived()
			if len(got) != 1 {
				t.Fatalf("arrived: %q", got)
			}
			want := map[string]any{"container_id": id, "container_name": "nginx", "source": "stdout", "log": "hello",
				"ecs_cluster": "default", "ecs_task_definition": plugin + ":1",
				"ecs_task_arn": "arn:aws:ecs:us-east-2:123456789012:task/default/158d1c8083dd49d6b527399fd6414f5c"}
			if o := object(t, got[0]); !reflect.DeepEqual(o, want) {
				t.Errorf("arrived %v, want %v", o, want)
			}
			if lines := slices.DeleteFunc(p.problems(), harmless); len(lines) > 0 {
				t.Errorf("the log has errors or warnings: %q", lines)
			}
		})
	}
}

// The sidecar's configuration ships the files of the shared volume, parsed, and
// with its pod's names where the kubernetes filter would have them.
func TestSidecar(t *testing.T) {
	root := t.TempDir()
	aws := startAWS(t, awslocal.Config{Now: func() time.Time { return articleTime }})
	text := read(t, "../deploy/fargate/fluent-bit.conf")
	conf := replace(t, text, "/var/log/app/", root+"/logs/", "/var/lib/fluent-bit", root,
		"/fluent-bit/parsers/parsers.conf", shipped(t, "demo/parsers.conf"),
		"${AWS_REGION}\n", "${AWS_REGION}\n    endpoint "+aws.URL+"\n")
	nginx := object(t, article(t, "nginx.json"))
	writeNew(t, filepath.Join(root, "logs/access.log"), nginx["log"].(string))
	p := start(t, run{dir: root, config: withoutService(t, conf), service: serviceLines(t, conf), env: []string{
		"AWS_REGION=us-east-2", "POD_NAME=nginx-with-sidecar-1", "POD_NAMESPACE=default", "POD_UID=198f7dd2", "NODE_NAME=fargate-1"}})
	p.wait("the record has arrived", 20*time.Second, func() bool { return aws.Logs().Total() > 0 })
	p.stop(20 * time.Second)
	st := aws.Logs().Stream("fluentbit-cloudwatch", "fargate-default-nginx-with-sidecar-1-access")
	if st.Len() != 1 {
		t.Fatalf("streams: %v", aws.Logs().Groups())
	}
	want := maps.Clone(nginx["data"].(map[string]any))
	want["kubernetes"] = map[string]any{"pod_name": "nginx-with-sidecar-1", "namespace_name": "default", "pod_id": "198f7dd2",
		"host": "fargate-1", "container_name": "nginx"}
	if got := object(t, st.Messages()[0]); !reflect.DeepEqual(got, want) {
		t.Errorf("arrived %v, want %v", got, want)
	}
	if lines := slices.DeleteFunc(p.problems(), harmless); len(lines) > 0 {
		t.Errorf("the log has errors or warnings: %q", lines)
	}
}
