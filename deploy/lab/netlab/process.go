package netlab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Process runs inside a host. It ends with the lab at the latest.
type Process struct {
	name   string
	cmd    *exec.Cmd
	output tail
	ended  chan struct{}
	err    error // of Wait, set before ended is closed
}

// Start runs argv inside the host with exactly the environment given, plus
// PATH. The process is killed when the lab or this program ends.
func (h *Host) Start(env []string, argv ...string) (*Process, error) {
	p := &Process{name: argv[0], ended: make(chan struct{})}
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.WaitDelay = time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	// Started by the host's thread, the child is in its namespace, and the
	// death signal waits for that thread.
	if err := h.Do(p.cmd.Start); err != nil {
		return nil, fmt.Errorf("host %s: starting %s: %w", h.Name, p.name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	h.lab.closeLater(closerFunc(func() error { p.Kill(); return nil }))
	return p, nil
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Output is what the process wrote so far, at most its last 256 KiB.
func (p *Process) Output() string { return p.output.String() }

// Signal sends a signal; one that comes too late is ignored.
func (p *Process) Signal(s syscall.Signal) {
	_ = p.cmd.Process.Signal(s)
}

// Kill ends the process the hard way (SIGKILL) and waits for it.
func (p *Process) Kill() {
	p.Signal(unix.SIGKILL)
	<-p.ended
}

// Stop asks the process to end (SIGTERM) and waits. It is an error when the
// process does not within the time given (it is killed then), or when it ends
// with a status other than 0.
func (p *Process) Stop(patience time.Duration) error {
	p.Signal(unix.SIGTERM)
	select {
	case <-p.ended:
		if p.err != nil {
			return fmt.Errorf("%s on SIGTERM: %w", p.name, p.err)
		}
		return nil
	case <-time.After(patience):
		p.Kill()
		return fmt.Errorf("%s did not end within %s of SIGTERM", p.name, patience)
	}
}

// Wait waits for the process to end by itself and returns its exit status.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("waiting for %s to end: %w", p.name, ctx.Err())
	}
}

// WaitFor calls ready every few milliseconds until it returns nil. When the
// context ends or the process does, the error holds ready's last complaint and
// what the process wrote.
func (p *Process) WaitFor(ctx context.Context, ready func() error) error {
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended (%v) before it was ready: %w; it said:\n%s", p.name, p.cmd.ProcessState, err, p.Output())
		case <-ctx.Done():
			return fmt.Errorf("%s did not get ready: %w; it said:\n%s", p.name, err, p.Output())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 256 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if extra := len(t.b) - tailSize; extra > 0 {
		t.b = append(t.b[:0], t.b[extra:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
