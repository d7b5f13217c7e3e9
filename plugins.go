// This is the Go library behind cloudwatch.so, kinesis.so and firehose.so.
//
// Fluent Bit loads one of these three (loader/loader.c), finds the functions
// below in the library beside it, and calls them: FLBPluginInit for each
// [OUTPUT] section, FLBPluginFlushCtx (internal/flb/wait.c) for each chunk of
// records, from as many threads as the section has workers, and FLBPluginExitCtx
// at the end.
//
// What the three plugins do is in cloudwatch, kinesis and firehose; what C
// needs is in internal/flb.
package main

// #include <stddef.h>
import "C"

import (
	"unsafe"

	"aws-for-fluent-bit/cloudwatch"
	"aws-for-fluent-bit/firehose"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/flb"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/kinesis"
)

// outputs are the plugins, by the name that a section's `Name` says.
var outputs = map[string]flb.Constructor{
	"cloudwatch": constructor(cloudwatch.New),
	"kinesis":    constructor(kinesis.New),
	"firehose":   constructor(firehose.New),
}

// takesMetrics are the plugins that know what to do with metrics.
var takesMetrics = map[string]bool{"cloudwatch": true}

// constructor gives a package's New the type that flb asks for: a nil *Plugin
// in an interface would not be nil.
func constructor[T flb.Output](open func(delivery.Env, options.Getter) (T, error)) flb.Constructor {
	return func(env delivery.Env, get options.Getter) (flb.Output, error) {
		out, err := open(env, get)
		if err != nil {
			return nil, err
		}
		return out, nil
	}
}

//export aws_for_fluent_bit_register
func aws_for_fluent_bit_register(def unsafe.Pointer, name, description *C.char) C.int {
	plugin := C.GoString(name)
	return C.int(flb.Register(def, plugin, C.GoString(description), takesMetrics[plugin]))
}

//export FLBPluginInit
func FLBPluginInit(plugin unsafe.Pointer) C.int {
	return C.int(flb.Init(plugin, outputs))
}

//export FLBPluginOutputPreExit
func FLBPluginOutputPreExit(reloading C.int) {
	flb.PreExit(reloading != 0)
}

//export FLBPluginExitCtx
func FLBPluginExitCtx(context uintptr) C.int {
	return C.int(flb.Exit(context))
}

//export FLBPluginUnregister
func FLBPluginUnregister(def unsafe.Pointer) {
	flb.Unregister(def)
}

func main() {} // c-shared asks for one; nothing calls it
