package firehose

import (
	"fmt"

	"aws-for-fluent-bit/internal/records"
)

// What Firehose bills of a record that is put directly.
// https://aws.amazon.com/firehose/pricing/
const (
	billedUnit = 5 << 10
	// worthSaying is how much of what is billed must be in vain.
	worthSaying = 1.5
)

func (p *Plugin) newBill() *records.Bill {
	return &records.Bill{Steps: [2]int{billedUnit, billedUnit}, Advice: p.advice}
}

// advice says what small records cost, where it is worth it.
func (p *Plugin) advice(b records.Billed) string {
	if b.Factor(0) < worthSaying {
		return ""
	}
	return fmt.Sprintf("cost: records for %q have %d bytes on average, and Firehose bills each in steps of 5 KB: %.1f GB for each GB. "+
		"Option simple_aggregation puts records together, one a line, for about 1; not for destinations or transformations that want each as a record of its own",
		p.Stream, b.Mean(), b.Factor(0))
}
