package hooks

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// descendants kills the processes that programs leave behind: those in the process group of the
// program, and those that left it with setsid. PR_SET_CHILD_SUBREAPER makes us the parent of a
// process whose parent has ended. Its environment has the mark of the run that it belongs to.
type descendants struct {
	mu      sync.Mutex
	running map[int]bool // programs that we have started and not waited for
	runs    atomic.Uint64
}

// markVariable is the variable with the mark of a run.
const markVariable = "DHCP4D_RUN"

func newDescendants() (*descendants, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("becoming the parent of what programs leave behind: %w", err)
	}
	return &descendants{running: make(map[int]bool)}, nil
}

// run runs a command to its end, and then ends everything that it has started.
func (d *descendants) run(cmd *exec.Cmd) error {
	mark := fmt.Sprintf("%s=%d.%d", markVariable, os.Getpid(), d.runs.Add(1))
	cmd.Env = append(cmd.Env, mark)
	// A process group of its own, so that signals for us do not reach it.
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	d.mu.Lock()
	if err := cmd.Start(); err != nil {
		d.mu.Unlock()
		return err
	}
	pid := cmd.Process.Pid
	d.running[pid] = true
	d.mu.Unlock()
	err := cmd.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.running, pid)
	_ = unix.Kill(-pid, unix.SIGKILL) // the group may be empty
	awaitGroup(pid)
	d.endLocked([]byte(mark))
	return err
}

// awaitGroup waits until the processes of a killed group have ended. The kernel makes us the parent
// of a process before it reports the end of the former parent, so none is missed.
func awaitGroup(group int) {
	for {
		if _, err := unix.Wait4(-group, nil, 0, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

const (
	// rounds bounds the search: each round ends a generation that lost its parents in the one
	// before.
	rounds = 100
	// glances is how often the search looks again, a millisecond later each time, at a process that
	// shows no environment. A process in the middle of exec shows one soon, and a process that ends
	// is gone soon. A process that has erased its environment is not killed.
	glances = 50
)

// endLocked kills the children of ours that have the mark, and waits for them and for those that
// have ended by themselves.
func (d *descendants) endLocked(mark []byte) {
	looked := 0
	for range rounds {
		found, unclear := false, false
		for _, pid := range children() {
			if d.running[pid] {
				continue
			}
			environ := environment(pid)
			if has(environ, mark) {
				_ = unix.Kill(pid, unix.SIGKILL)
				if _, err := unix.Wait4(pid, nil, 0, nil); err == nil {
					found = true
				}
				continue
			}
			// A process that has ended has no environment any more.
			if n, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err == nil && n == pid {
				found = true
			} else if len(environ) == 0 {
				unclear = true
			}
		}
		switch {
		case found:
		case unclear && looked < glances:
			looked++
			time.Sleep(time.Millisecond)
		default:
			return
		}
	}
}

// children returns the children of this process.
func children() (pids []int) {
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return nil
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		for field := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// environment returns the variables of a process, each with a NUL behind it; nothing if it shows
// none.
func environment(pid int) []byte {
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return nil
	}
	return environ
}

// has reports whether a variable is in an environment.
func has(environ, variable []byte) bool {
	for v := range bytes.SplitSeq(environ, []byte{0}) {
		if bytes.Equal(v, variable) {
			return true
		}
	}
	return false
}
