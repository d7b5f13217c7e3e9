package readme

import (
	"slices"
	"strings"
	"testing"

	"aws-for-fluent-bit/cloudwatch"
	"aws-for-fluent-bit/firehose"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/kinesis"
)

// An option of another plugin of ours, as it stays behind in a section that was
// copied, is unknown but not misspelt: the output starts. A slip in any option is
// found, whichever it is.
func TestOptionsAreTold(t *testing.T) {
	known := make(map[string][]string)
	for name, check := range map[string]func(options.Getter) error{"cloudwatch": cloudwatch.Check, "kinesis": kinesis.Check, "firehose": firehose.Check} {
		err := check(func(option string) string {
			known[name] = append(known[name], option)
			return ""
		})
		if err == nil || len(known[name]) < 30 {
			t.Errorf("%s asks for %d options, %v", name, len(known[name]), err)
		}
	}
	for name, own := range known {
		for _, other := range known {
			for _, option := range other {
				if u := options.FindUnknown([]string{option}, own); len(u) > 0 && u[0].Misspelt {
					t.Errorf("%s: %v", name, u[0])
				}
			}
		}
		for _, option := range own {
			if options.IsFluentBits(option) || len(option) < 6 {
				continue
			}
			at := len(option) / 2
			slips := []string{option[:at] + option[at+1:], option[:at] + "q" + option[at:], option[:at] + "q" + option[at+1:]}
			if option[at] != option[at-1] {
				slips = append(slips, option[:at-1]+option[at:at+1]+option[at-1:at]+option[at+1:])
			}
			for _, slip := range slips {
				if slices.Contains(own, slip) {
					continue
				}
				u := options.FindUnknown([]string{strings.ToUpper(slip)}, own)
				if len(u) != 1 || !u[0].Misspelt || u[0].Nearest != option {
					t.Errorf("%s: %s: got %v, want %s", name, slip, u, option)
				}
			}
		}
	}
}
