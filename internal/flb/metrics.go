package flb

// #include <stdlib.h>
// #include "symbols.h"
import "C"

import (
	"sync"
	"unsafe"

	"aws-for-fluent-bit/internal/delivery"
)

// metrics shows an instance's counters on Fluent Bit's own metrics endpoint, as
// fluentbit_aws_records_sent_total{name="cloudwatch.0"} and so on.
//
// Why this is sound, by lib/cmetrics as Fluent Bit 5.1.1 has it:
//
//   - Counters are added to the instance's context (struct cmt, a plain list)
//     only here, in FLBPluginInit, on the engine's thread: the one that also
//     walks that list to answer a scrape, and no worker runs yet.
//   - A counter's map of label values is a list too. Since 5.x a lock guards it;
//     before that an insertion while another thread looks something up was a
//     race. So every combination of labels is set to 0 here, and later calls
//     only find what is there.
//   - The value itself is set with an atomic store (cmt_metric_set), by
//     whichever of Fluent Bit's threads is here, as Fluent Bit's own outputs do
//     with theirs.
//   - It sets only between FLBPluginInit and the end of FLBPluginExitCtx, after
//     which Fluent Bit destroys the context (src/flb_output.c, flb_output_exit).
type metrics struct {
	counters *delivery.Counters

	mu     sync.Mutex
	shown  []C.struct_metric // in C memory
	values []C.double        // for reuse, one for each of shown
}

// newMetrics returns nil when Fluent Bit cannot show any.
func newMetrics(ins *C.struct_flb_output_instance, name string, counters *delivery.Counters) *metrics {
	cmt := C.flb_metrics(ins)
	if cmt == nil {
		return nil
	}
	m := &metrics{counters: counters}
	n := 0
	counters.Each(func(delivery.Metric) { n++ })
	m.values = make([]C.double, 0, n)
	m.shown = unsafe.Slice((*C.struct_metric)(C.calloc(C.size_t(n), C.sizeof_struct_metric)), n)

	handles := make(map[string]unsafe.Pointer) // metrics that differ by reason share one
	i := 0
	counters.Each(func(d delivery.Metric) {
		labels, gauge := 1, C.int(0)
		if d.Reason != "" {
			labels = 2
		}
		if d.Gauge {
			gauge = 1
		}
		handle, ok := handles[d.Name]
		if !ok {
			cName, help := C.CString(d.Name), C.CString(d.Help)
			handle = C.flb_metric_create(cmt, gauge, cName, help, C.int(labels))
			C.free(unsafe.Pointer(cName))
			C.free(unsafe.Pointer(help))
			handles[d.Name] = handle
		}
		m.shown[i] = C.struct_metric{handle: handle, gauge: gauge, labels: C.int(labels),
			label_value: [2]*C.char{C.CString(name), C.CString(d.Reason)}}
		i++
	})
	m.publish()
	return m
}

// publish shows the present values. A nil m shows nothing.
func (m *metrics) publish() {
	if m == nil {
		return
	}
	// Read and set under one lock: a counter that another thread has set
	// further meanwhile must not be set back, which cmetrics refuses with an
	// error in the log.
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.shown) == 0 {
		return
	}
	m.values = m.values[:0]
	m.counters.Each(func(d delivery.Metric) { m.values = append(m.values, C.double(d.Value)) })
	C.flb_metrics_set(&m.shown[0], &m.values[0], C.int(len(m.values)))
}

// free ends all showing.
func (m *metrics) free() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.shown {
		C.free(unsafe.Pointer(s.label_value[0]))
		C.free(unsafe.Pointer(s.label_value[1]))
	}
	if len(m.shown) > 0 {
		C.free(unsafe.Pointer(&m.shown[0]))
	}
	m.shown = nil
}
