//go:build unix

package awsx

import "syscall"

// canLook: whether a kept connection is open can be seen.
const canLook = true

// silent says that the socket's other side has neither closed it nor sent anything
// that was not read.
func silent(fd uintptr) bool {
	var b [1]byte
	_, err := syscall.Read(int(fd), b[:])
	return err == syscall.EAGAIN
}
