package netns

import (
	"context"
	"errors"
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

// Start runs argv inside the host. The environment is exactly the given one and PATH. The process
// is killed when the lab or this program ends.
func (h *Host) Start(env []string, argv ...string) (*Process, error) {
	return h.StartPrepared(nil, env, argv...)
}

// StartPrepared is Start. It calls prepare, which may be nil, when the program is loaded and has
// not run yet.
func (h *Host) StartPrepared(prepare func(pid int) error, env []string, argv ...string) (*Process, error) {
	p := &Process{name: argv[0], ended: make(chan struct{})}
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.WaitDelay = time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL, Ptrace: prepare != nil}
	// The host's thread starts the child. So the child is in its namespace, and gets the death
	// signal when the thread ends.
	if err := h.Do(func() error { return p.start(prepare) }); err != nil {
		return nil, fmt.Errorf("host %s: starting %s: %w", h.Name, p.name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	h.lab.closeLater(closerFunc(func() error { p.Kill(); return nil }))
	return p, nil
}

// start starts the process, prepares it and lets it run. The thread that starts a process traces
// it.
func (p *Process) start(prepare func(pid int) error) error {
	if err := p.cmd.Start(); err != nil || prepare == nil {
		return err
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(p.PID(), &status, 0, nil); err != nil { // for the stop at its first instruction
		return err
	}
	return errors.Join(prepare(p.PID()), unix.PtraceDetach(p.PID()))
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended returns a channel that is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Output returns what the process has written, at most the last 256 KiB.
func (p *Process) Output() string { return p.output.String() }

// Signal sends a signal. After the end of the process it does nothing.
func (p *Process) Signal(s syscall.Signal) {
	_ = p.cmd.Process.Signal(s)
}

// Freeze stops the process without ending it (SIGSTOP). It returns when all threads of the process
// have stopped, or when the process has ended. The signal alone takes effect only after some time,
// on a busy machine late.
func (p *Process) Freeze() error {
	p.Signal(unix.SIGSTOP)
	for {
		// The kernel tells the parent when the last thread has stopped. WNOWAIT leaves the end of
		// the process to Wait.
		err := unix.Waitid(unix.P_PID, p.PID(), nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
		switch {
		case err == nil, errors.Is(err, unix.ECHILD):
			return nil
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("waiting for %s to stop: %w", p.name, err)
		}
	}
}

// Thaw undoes Freeze.
func (p *Process) Thaw() { p.Signal(unix.SIGCONT) }

// Kill ends the process with SIGKILL and waits for it.
func (p *Process) Kill() {
	p.Signal(unix.SIGKILL)
	<-p.ended
}

// Stop ends the process with SIGTERM and waits for it. It returns an error if the process ends with
// a status other than 0, or not within the given time. In the second case it kills the process.
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

// Wait waits until the process ends by itself, and returns its exit status.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("waiting for %s to end: %w", p.name, ctx.Err())
	}
}

// WaitFor calls ready every few milliseconds until it returns nil. If ctx or the process ends
// before, the error holds ready's last error and what the process has written.
func (p *Process) WaitFor(ctx context.Context, ready func() error) error {
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended (%v) before it was ready: %w; it said:\n%s", p.name, p.cmd.ProcessState, err,
				p.Output())
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
