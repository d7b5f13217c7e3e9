package deploy

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"aws-for-fluent-bit/cloudwatch"
	"aws-for-fluent-bit/firehose"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/kinesis"
)

// plugin is what all three are.
type plugin interface {
	Flush(delivery.Chunk) delivery.Result
	Close()
}

// start makes an output as Fluent Bit does, and returns the options it asked for.
func start(name string, set map[string]string) (p plugin, asked []string, err error) {
	silent := logrus.New()
	silent.SetOutput(io.Discard)
	env := delivery.Env{Name: name + ".0", Log: logrus.NewEntry(silent), Counters: new(delivery.Counters)}
	get := options.Getter(func(option string) string {
		asked = append(asked, option)
		return set[option]
	})
	switch name {
	case "cloudwatch":
		p, err = cloudwatch.New(env, get)
	case "kinesis":
		p, err = kinesis.New(env, get)
	case "firehose":
		p, err = firehose.New(env, get)
	default:
		return nil, nil, fmt.Errorf("no plugin %q", name)
	}
	return p, asked, err
}

// section is a section of a configuration. Keys are in lower case.
type section struct {
	name     string
	set      map[string]string
	optional map[string]string // commented options
	order    []string          // of both
}

func (s *section) add(key, value string, commented bool) {
	key = strings.ToLower(key)
	s.order = append(s.order, key)
	if commented {
		s.optional[key] = value
	} else if before, again := s.set[key]; again { // Path
		s.set[key] = before + "," + value
	} else {
		s.set[key] = value
	}
}

var (
	header      = regexp.MustCompile(`^(#?)\[(\w+)\]$`)
	entry       = regexp.MustCompile(`^(#?) {4}(#?)([A-Za-z][\w.-]*) +(\S.*)$`)
	yamlSection = regexp.MustCompile(`^(#?)(?:  (\w+)s|(service|plugins)):$`)
	yamlEntry   = regexp.MustCompile(`^(#?)( {2,6})(#?)(- )?(?:([A-Za-z][\w.-]*): )?(\S+.*)$`)
)

// classic parses a configuration in Fluent Bit's classic format. A section that
// is commented as a whole counts as one; what is commented in there too is optional.
func classic(text string) (sections []*section) {
	var s *section
	for _, l := range strings.Split(text, "\n") {
		if m := header.FindStringSubmatch(l); m != nil {
			s = &section{strings.ToLower(m[2]), make(map[string]string), make(map[string]string), nil}
			sections = append(sections, s)
			continue
		}
		if m := entry.FindStringSubmatch(l); m != nil && s != nil {
			s.add(m[3], strings.TrimSpace(m[4]), m[2] != "")
		}
	}
	return sections
}

// twin parses fluent-bit.yaml, which has the simplest of forms.
func twin(text string) (sections []*section) {
	name := ""
	var s *section
	begin := func() {
		s = &section{name, make(map[string]string), make(map[string]string), nil}
		sections = append(sections, s)
	}
	for _, l := range strings.Split(text, "\n") {
		if m := yamlSection.FindStringSubmatch(l); m != nil {
			name = m[2] + m[3]
			if m[3] != "" {
				begin()
			}
			continue
		}
		m := yamlEntry.FindStringSubmatch(l)
		if m == nil || name == "" || m[5] == "" && (m[4] == "" || m[3] != "") {
			continue // a comment, or nothing
		}
		if m[5] == "" {
			s.add("path", m[6], false) // of a plugin
			continue
		}
		if m[4] != "" {
			begin()
			// What is commented as a whole may come before the section of its kind.
			if m[6] == "tail" {
				s.name = "input"
			}
		}
		s.add(m[5], strings.Trim(m[6], `'"`), m[3] != "")
	}
	return sections
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fluentBits are the options of an output that never reach a plugin
// (src/flb_output.c, flb_output_set_property).
var fluentBits = []string{"name", "match", "match_regex", "alias", "workers", "retry_limit", "log_level", "storage.total_limit_size"}

// unread are options that the plugins ask for and never get: Fluent Bit takes
// them for itself.
var unread = []string{"port"}

// Every option of the three plugins stands in fluent-bit.conf, and every one
// that stands there exists and is taken as it stands.
func TestEveryOptionIsShown(t *testing.T) {
	t.Setenv("EKS_POD_EXECUTION_ROLE", "")
	dir := t.TempDir()
	bundle := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(bundle, []byte(authority), 0o644); err != nil {
		t.Fatal(err)
	}
	shared := filepath.Join(dir, "config")
	if err := os.WriteFile(shared, []byte("[default]\nregion=us-east-2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", shared)
	for name, s := range outputs(t, classic(read(t, "../fluent-bit.conf"))) {
		base := map[string]string{"region": "us-east-2"}
		for k, v := range s.set {
			if !slices.Contains(fluentBits, k) && k != "region" {
				base[k] = v
			}
		}
		p, asked, err := start(name, base)
		if err != nil {
			t.Errorf("%s does not start with what is set: %v", name, err)
			continue
		}
		p.Close()
		for _, option := range asked {
			_, set := s.set[option]
			_, optional := s.optional[option]
			if !set && !optional && !slices.Contains(unread, option) {
				t.Errorf("fluent-bit.conf does not show the option %s of %s", option, name)
			}
		}
		for _, option := range s.order {
			if !slices.Contains(fluentBits, option) && !slices.Contains(asked, option) {
				t.Errorf("fluent-bit.conf shows an option %s, which %s does not have", option, name)
			}
		}
		for option, value := range s.optional {
			if slices.Contains(fluentBits, option) {
				continue
			}
			one := map[string]string{option: value}
			for k, v := range base {
				one[k] = v
			}
			switch option {
			case "log_stream_name":
				delete(one, "log_stream_prefix") // "or", as the file says
			case "ca_bundle", "credentials_file":
				one[option] = bundle
			case "ledger_path":
				one[option] = dir
			case "dead_letter_file":
				one[option] = filepath.Join(dir, "letters")
			}
			p, _, err := start(name, one)
			if err != nil {
				t.Errorf("%s does not start with %s %s: %v", name, option, value, err)
				continue
			}
			p.Close()
		}
	}
}

// readme finds, in the README, the heading of a table of options and an option's default.
var readme = regexp.MustCompile("(?m)^### Options of (.+)$|^\\| `(\\w+)` \\| [^|`]*, `([^`|]+)`(?: \\||, with )")

// defaultsOf returns the defaults of a plugin's options.
func defaultsOf(t *testing.T, plugin string) map[string]string {
	defaults := make(map[string]string)
	ours := true
	for _, m := range readme.FindAllStringSubmatch(read(t, "../README.md"), -1) {
		switch {
		case m[1] != "":
			ours = m[1] == "all three" || strings.Contains(m[1], "`"+plugin+"`")
		case ours:
			defaults[m[2]] = m[3]
		}
	}
	return defaults
}

// What is commented in fluent-bit.conf is the default, where there is one.
func TestDefaultsAreShown(t *testing.T) {
	for name, s := range outputs(t, classic(read(t, "../fluent-bit.conf"))) {
		defaults := defaultsOf(t, name)
		if len(defaults) < 15 {
			t.Fatalf("found %d defaults of %s in the README: %v", len(defaults), name, defaults)
		}
		compared := 0
		for option, value := range s.optional {
			if want, ok := defaults[option]; ok {
				compared++
				if !strings.EqualFold(value, want) {
					t.Errorf("%s: fluent-bit.conf shows %s %s, the README's default is %s", name, option, value, want)
				}
			}
		}
		if compared < 10 {
			t.Errorf("%s: compared %d defaults only", name, compared)
		}
	}
}

// outputs returns the outputs of the three plugins by their names.
func outputs(t *testing.T, sections []*section) map[string]*section {
	t.Helper()
	found := make(map[string]*section)
	for _, s := range sections {
		if s.name == "output" {
			found[s.set["name"]] = s
		}
	}
	for _, name := range []string{"cloudwatch", "kinesis", "firehose"} {
		if found[name] == nil {
			t.Fatalf("no output %s", name)
		}
	}
	return found
}

// The two configurations of the image say the same, in comments too.
func TestTwins(t *testing.T) {
	conf, yaml := classic(read(t, "../fluent-bit.conf")), twin(read(t, "../fluent-bit.yaml"))
	// In the classic format the plugins are in a file of their own.
	if conf[0].set["plugins_file"] != "plugins.conf" {
		t.Fatalf("fluent-bit.conf begins with %v", conf[0])
	}
	delete(conf[0].set, "plugins_file")
	conf[0].order = slices.DeleteFunc(conf[0].order, func(k string) bool { return k == "plugins_file" })
	conf = slices.Insert(conf, 1, classic(read(t, "../plugins.conf"))...)
	if len(conf) != len(yaml) || len(conf) < 6 {
		t.Fatalf("fluent-bit.conf has %d sections, fluent-bit.yaml %d", len(conf), len(yaml))
	}
	for i := range conf {
		if !reflect.DeepEqual(conf[i], yaml[i]) {
			t.Errorf("fluent-bit.conf has [%s] %v, fluent-bit.yaml %s %v", conf[i].name, conf[i], yaml[i].name, yaml[i])
		}
	}
}

// shippedConfigurations returns every output of the three plugins that any
// file of the repository sets up.
func shippedOutputs(t *testing.T) map[string]map[string]string {
	t.Helper()
	all := make(map[string]map[string]string)
	add := func(file string, s map[string]string) {
		if slices.Contains([]string{"cloudwatch", "kinesis", "firehose"}, s["name"]) {
			all[fmt.Sprintf("%s %s %d", file, s["name"], len(all))] = s
		}
	}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{"out", "bin", ".git", "testdata"}, d.Name()):
			return filepath.SkipDir
		case filepath.Ext(path) == ".conf":
			for _, s := range classic(read(t, path)) {
				if s.name == "output" {
					add(path, s.set)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range twin(read(t, "../fluent-bit.yaml")) {
		if s.name == "output" {
			add("../fluent-bit.yaml", s.set)
		}
	}
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../README.md") {
		text := read(t, page)
		for _, s := range classic(strings.ReplaceAll(text, "\n   ", "\n") + "\n" + text) { // code blocks in lists, and others
			if s.name == "output" {
				add(page, s.set)
			}
		}
	}
	files, err := filepath.Glob("ecs/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		for _, options := range firelensOptions(t, file) {
			add(file, options)
		}
	}
	return all
}

// firelensOptions are the log options of a task definition's containers, which
// ECS turns into an [OUTPUT]; keys in lower case.
func firelensOptions(t *testing.T, file string) (all []map[string]string) {
	t.Helper()
	var task struct {
		ContainerDefinitions []struct {
			LogConfiguration struct {
				LogDriver string
				Options   map[string]string
			}
		}
	}
	if err := json.Unmarshal([]byte(read(t, file)), &task); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for _, c := range task.ContainerDefinitions {
		if c.LogConfiguration.LogDriver != "awsfirelens" {
			continue
		}
		o := make(map[string]string)
		for k, v := range c.LogConfiguration.Options {
			if k != "log-driver-buffer-limit" { // ECS' own
				o[strings.ToLower(k)] = v
			}
		}
		all = append(all, o)
	}
	return all
}

// Every output that is shipped anywhere starts as it stands, has no option that
// the plugin does not know, and flushes on threads of its own.
func TestShippedOutputs(t *testing.T) {
	state := t.TempDir()
	shipped := shippedOutputs(t)
	if len(shipped) < 15 {
		t.Fatalf("found %d outputs: %v", len(shipped), shipped)
	}
	for where, s := range shipped {
		if n, err := strconv.Atoi(s["workers"]); err != nil || n < 1 {
			t.Errorf("%s: workers is %q", where, s["workers"])
		}
		set := make(map[string]string)
		for k, v := range s {
			if slices.Contains(fluentBits, k) {
				continue
			}
			v = strings.NewReplacer("${AWS_REGION}", "us-east-2", "${HOSTNAME}", "host", "${DEMO_ENDPOINT}", "http://127.0.0.1:1", "/var/lib/fluent-bit", state).Replace(v)
			if strings.Contains(v, "${") {
				t.Errorf("%s: nobody sets the variable in %s %s", where, k, v)
			}
			set[k] = v
		}
		p, asked, err := start(s["name"], set)
		if err != nil {
			t.Errorf("%s does not start: %v", where, err)
			continue
		}
		p.Close()
		for k := range set {
			if !slices.Contains(asked, k) {
				t.Errorf("%s: %s has no option %s", where, s["name"], k)
			}
		}
	}
}

// authority is a certificate for the option ca_bundle; nobody has its key.
const authority = `-----BEGIN CERTIFICATE-----
MIIBdjCCARugAwIBAgIUJ/ZZ7qVBksNjQ4dilYfvSHEnayQwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjMwNDMwMTdaGA8yMTI2MTAzMDA0MzAx
N1owDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNpJ
utlfOsHhyQ4VNJAixughaE/aJlVIjEcjXh2KKNXB+wBnIeaLbV9vudjn+uL6jWiG
blCFvcheu0fZrj9ZejujUzBRMB0GA1UdDgQWBBQTHrxKyNlhVZhzXwdbQHserzQA
DDAfBgNVHSMEGDAWgBQTHrxKyNlhVZhzXwdbQHserzQADDAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0kAMEYCIQDwlZHc6OxXB+/LTXp/s+NjVQhearvjjgQQ
OnW1N4T1VAIhAP1yxjeNQ85rXrDWb2XEETYVcz80GGpJ7URvFelvRmBg
-----END CERTIFICATE-----
`
