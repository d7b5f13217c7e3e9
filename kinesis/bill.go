package kinesis

import (
	"fmt"

	"aws-for-fluent-bit/internal/records"
)

// What Kinesis bills of a record, with provisioned capacity and on demand.
// https://aws.amazon.com/kinesis/data-streams/pricing/
const (
	payloadUnit  = 25 << 10 // one PUT payload unit, or a part of it
	onDemandUnit = 1 << 10
	// worthSaying is how much of what is billed must be in vain.
	worthSaying = 1.5
)

func (p *Plugin) newBill() *records.Bill {
	return &records.Bill{Steps: [2]int{payloadUnit, onDemandUnit}, Advice: p.advice}
}

// advice says what small records cost, where it is worth it.
func (p *Plugin) advice(b records.Billed) string {
	if b.Factor(0) < worthSaying {
		return ""
	}
	const gb = 1e9
	units := func(factor float64) float64 { return factor * gb / payloadUnit / 1000 }
	return fmt.Sprintf("cost: records for %q have %d bytes on average. With provisioned capacity each GB takes %.0f thousand PUT payload units of 25 KB, where %.0f thousand would do; "+
		"on demand it is billed as %.2f GB, as each record counts in steps of 1 KB. Options aggregation and simple_aggregation put records together",
		p.Stream, b.Mean(), units(b.Factor(0)), units(1), b.Factor(1))
}
