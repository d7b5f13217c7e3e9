package flb

import "syscall"

// threadID tells the calling thread from all others of the process.
func threadID() int { return syscall.Gettid() }
