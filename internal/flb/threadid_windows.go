package flb

import "syscall"

var getCurrentThreadID = syscall.NewLazyDLL("kernel32.dll").NewProc("GetCurrentThreadId")

// threadID tells the calling thread from all others of the process.
func threadID() int {
	id, _, _ := getCurrentThreadID.Call() // cannot fail
	return int(id)
}
