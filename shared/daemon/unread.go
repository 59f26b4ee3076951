package daemon

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// unreadWait is how long a line of the log waits for whoever reads the log. Those that follow
	// do not wait until there is room again.
	unreadWait = 100 * time.Millisecond
	// pipeRoom is how many octets a pipe takes without waiting when it says that it has room
	// (PIPE_BUF).
	pipeRoom = 4096
)

// unread writes lines to a pipe, a socket or a terminal. If nobody reads there, the lines are lost:
// a packet, and the signal to stop, must not wait for a reader that hangs.
type unread struct {
	file *os.File
	said func(lost int) []byte // a line that says how many are lost

	mu   sync.Mutex
	lost int  // lines since the last one that was written
	torn bool // the last one was not written to its end
}

// hasReader reports whether a write to a file may have to wait for somebody who reads.
func hasReader(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket|fs.ModeCharDevice) != 0
}

// Write implements io.Writer. It returns no error for a line that is lost.
func (u *unread) Write(line []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	wait := unreadWait
	if u.lost > 0 {
		wait = 0
	}
	if !u.room(wait) {
		u.lost++
		return len(line), nil
	}
	if lost := u.lost; lost > 0 {
		u.lost = 0
		u.write(u.said(lost))
	}
	u.write(line)
	return len(line), nil
}

// write writes a line in pieces for which there is room.
func (u *unread) write(line []byte) {
	if u.torn {
		line = append([]byte{'\n'}, line...)
	}
	u.torn = false
	for len(line) > 0 {
		if !u.room(unreadWait) {
			u.torn = true
			u.lost++
			return
		}
		n, err := u.file.Write(line[:min(len(line), pipeRoom)])
		if err != nil {
			return // the reader has gone
		}
		line = line[n:]
	}
}

// room waits until the file has room for a piece. An error counts as room: the write meets it too.
func (u *unread) room(wait time.Duration) bool {
	raw, err := u.file.SyscallConn()
	if err != nil {
		return true
	}
	room := true
	_ = raw.Control(func(fd uintptr) {
		for end := time.Now().Add(wait); ; {
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
			n, err := unix.Poll(poll, int(max(time.Until(end), 0).Milliseconds()))
			if errors.Is(err, unix.EINTR) {
				continue
			}
			room = err != nil || n > 0
			return
		}
	})
	return room
}
