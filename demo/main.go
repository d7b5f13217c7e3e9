// Command demo ships sample container logs through the built plugins into
// stand-ins of the AWS services on this machine, and holds what arrived against
// what was written. `make demo` builds and runs it.
//
// Where a fluent-bit is on the PATH it is run with fluent-bit.conf, the
// configuration of a Kubernetes node. Where there is none, the built-in host
// loads the plugins in its place. DEMO_HOST=builtin asks for the latter,
// DEMO_HOST=fluent-bit for the former.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
)

// deadline is how long everything may take to arrive. It takes about a second.
const deadline = 60 * time.Second

const region = "us-east-2"

// firehoseDir is where the stand-in of Firehose delivers into, seen from the
// top of the repository.
const firehoseDir = "demo/out/s3"

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	good, err := demo(ctx)
	cancel()
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
	}
	if err != nil || !good {
		os.Exit(1)
	}
}

// setup says where things are. All paths are absolute.
type setup struct {
	demo string // this directory
	bin  string // the built plugins
	root string // stands for the root directory of a node
}

func (s setup) loader(plugin string) string { return filepath.Join(s.bin, plugin+".so") }

func demo(ctx context.Context) (good bool, err error) {
	s, err := prepare()
	if err != nil {
		return false, err
	}
	program, err := chooseHost()
	if err != nil {
		return false, err
	}
	aws, err := awslocal.Start(awslocal.Config{
		Region:            region,
		RefuseUnknownKeys: true,
		KinesisStreams:    map[string]int{"fluentbit-kinesis": 2}, // shards
		DeliveryStreams:   []string{"fluentbit-firehose"},
		FirehoseDir:       filepath.Join(s.root, "s3"),
	})
	if err != nil {
		return false, err
	}
	defer aws.Close()
	if err := setEnvironment(s, aws); err != nil {
		return false, err
	}

	lines, err := writeSamples(filepath.Join(s.demo, "logs"), filepath.Join(s.root, "var/log/containers"), time.Now())
	if err != nil {
		return false, err
	}
	fmt.Printf("services    stand-ins of AWS (internal/awslocal) on %s, region %s\n", aws.URL, region)
	fmt.Printf("input       %d records in the container logs in %s\n", len(lines), filepath.Join(s.root, "var/log/containers"))

	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	arrived := func() bool {
		for _, d := range destinations {
			if count(d.look(aws)) < len(lines) {
				return false
			}
		}
		return true
	}
	var log string
	var runErr error // reported last: what arrived is worth a look all the same
	if program != "" {
		fmt.Printf("host        %s, %s\n", version(program), program)
		log, runErr = runFluentBit(ctx, program, s, arrived)
	} else {
		fmt.Println("host        the built-in one (internal/host), in place of fluent-bit")
		log, runErr = runBuiltin(ctx, s)
	}

	var total account
	for i, d := range destinations {
		places := d.look(aws)
		report(os.Stdout, d, places, i == 0)
		a := check(lines, places)
		total.add(a)
		for _, own := range accountLines(log, d.plugin) {
			fmt.Printf("\nthe plugin's account  %s\n", own)
		}
		fmt.Printf("what has arrived      %v\n", a)
	}
	for i, w := range total.wrong {
		if i == 5 {
			fmt.Printf("and %d more\n", len(total.wrong)-i)
			break
		}
		fmt.Printf("changed: %s\n", w)
	}
	if runErr != nil || !total.good() {
		fmt.Printf("\nthe end of the log:\n%s\n", lastLines(log, 30))
	}
	fmt.Printf("\n%v\n", total)
	return total.good(), runErr
}

// prepare finds the paths and empties the node's root directory.
func prepare() (setup, error) {
	dir, err := filepath.Abs("demo")
	if err != nil {
		return setup{}, err
	}
	s := setup{demo: dir, bin: filepath.Join(filepath.Dir(dir), "bin"), root: filepath.Join(dir, "out")}
	if bin := os.Getenv("DEMO_BIN"); bin != "" {
		if s.bin, err = filepath.Abs(bin); err != nil {
			return s, err
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "fluent-bit.conf")); err != nil {
		return s, fmt.Errorf("cannot find demo/fluent-bit.conf: run `make demo` at the top of the repository: %w", err)
	}
	if _, err := os.Stat(s.loader(destinations[0].plugin)); err != nil {
		return s, fmt.Errorf("cannot find a built plugin: run `make demo`, which builds them first: %w", err)
	}
	if err := os.RemoveAll(s.root); err != nil {
		return s, err
	}
	return s, os.MkdirAll(filepath.Join(s.root, "var/log/containers"), 0o755)
}

// chooseHost returns the fluent-bit to run, "" for the built-in host.
func chooseHost() (program string, err error) {
	switch want := os.Getenv("DEMO_HOST"); want {
	case "":
		program, _ = exec.LookPath("fluent-bit")
		return program, nil
	case "builtin":
		return "", nil
	case "fluent-bit":
		program, err = exec.LookPath("fluent-bit")
		if err != nil {
			return "", fmt.Errorf("DEMO_HOST is fluent-bit: %w", err)
		}
		return program, nil
	default:
		return "", fmt.Errorf("DEMO_HOST is %q: allowed are builtin and fluent-bit", want)
	}
}

// setEnvironment gives the plugins and fluent-bit.conf what they read from the
// environment, and hides what this machine may have set for the real AWS.
func setEnvironment(s setup, aws *awslocal.Server) error {
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		for _, prefix := range []string{"AWS_", "ECS_", "EKS_", "FLB_"} {
			if strings.HasPrefix(name, prefix) {
				if err := os.Unsetenv(name); err != nil {
					return err
				}
			}
		}
	}
	set := map[string]string{
		"DEMO_DIR":                    s.demo,
		"DEMO_ENDPOINT":               aws.URL,
		"AWS_EC2_METADATA_DISABLED":   "true",
		"AWS_CONFIG_FILE":             os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	}
	for id, secret := range awslocal.DefaultKeys {
		set["AWS_ACCESS_KEY_ID"], set["AWS_SECRET_ACCESS_KEY"] = id, secret
	}
	for name, value := range set {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

func count(places []place) (n int) {
	for _, p := range places {
		n += len(p.records)
	}
	return n
}

// accountLines returns what a plugin's instances logged as their last account.
func accountLines(log, plugin string) []string {
	last := make(map[string]string)
	var order []string
	for _, l := range strings.Split(log, "\n") {
		_, rest, ok := strings.Cut(l, "[output:"+plugin+":")
		if !ok {
			continue
		}
		instance, text, ok := strings.Cut(rest, "] account: ")
		if !ok {
			continue
		}
		if _, known := last[instance]; !known {
			order = append(order, instance)
		}
		last[instance] = instance + ": " + text
	}
	var lines []string
	for _, instance := range order {
		lines = append(lines, last[instance])
	}
	return lines
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
