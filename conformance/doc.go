// Package conformance checks what reaches AWS with parts that others wrote: the
// stand-ins moto and kinesalite, AWS's own botocore, the SDK's own serializer,
// encoding/json, and msgpack decoders that the plugins do not use.
//
// It is a module of its own, so that what it needs is no part of the plugins.
// `make conformance` runs it; the tests install the stand-ins at pinned versions
// and are skipped, with the reason, where that cannot be done.
package conformance
