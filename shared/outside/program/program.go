// Package program is what a program outside needs, in Go: it listens on the socket that the hook
// outside of dhcp4d connects to, answers questions about queries, and is told what becomes of
// leases. docs/write-a-hook.md begins at nothing and ends with a program.
//
//	p := &program.Program{
//		Socket: "/run/dhcp4d-hook/socket",
//		Decide: func(q *outside.Query) outside.Answer {
//			if string(q.InterfaceID) == "port-7" {
//				return outside.Answer{Verdict: outside.Drop, Reason: "unpaid", Keep: 60}
//			}
//			return outside.Answer{Verdict: outside.Continue, Keep: 60}
//		},
//	}
//	err := p.Run(ctx)
//
// Several daemons may connect. A program that starts takes the place of the socket, so it may be
// replaced while packets flow. What goes wrong with a connection is logged, and costs that
// connection only.
package program

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

// Program is a program outside. Its fields are set before Run.
type Program struct {
	// Socket is the path of the UNIX socket that dhcp4d connects to (DHCP4D_OUTSIDE_SOCKET).
	Socket string
	// Mode is the permissions of the socket; 0 is 0660. Whoever may write to it may connect.
	Mode fs.FileMode
	// Name is the program's name in the logs of dhcp4d.
	Name string
	// Log takes what goes wrong; nil: slog.Default.
	Log *slog.Logger

	// Decide answers the question about a query, nil if the program answers none. It need not set
	// Number. An answer without a Verdict is not sent: dhcp4d then does what it is configured to do
	// without an answer. So it is after a panic. The query is valid until Decide returns.
	Decide func(q *outside.Query) outside.Answer
	// Workers is how many questions are decided at once. With 0, each is decided when the one
	// before is, which is best for a Decide that does not wait for anything.
	Workers int
	// ForgetAll has each daemon that connects forget what an earlier process has answered.
	ForgetAll bool

	// Told gets the changes of leases, one by one and in their order, at least once each; nil if
	// the program wants none. After an error it gets the same change again, a little later. The
	// event is valid until Told returns.
	Told func(e *outside.Event) error
	// Cursor is the file that keeps how far Told has come. Without it, the program gets only what
	// happens while it is connected. For a daemon that says its name, the name is appended to it.
	Cursor string

	telling sync.Mutex // held while Told runs

	mu     sync.Mutex
	conns  map[*connection]struct{}
	latest map[string]*events // by the file of the cursor
}

// Run serves until the context ends. An error says that the socket cannot be made.
func (p *Program) Run(ctx context.Context) error {
	listener, err := p.listen()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	for pause := time.Duration(0); ; {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return nil
		}
		if err != nil { // such as too many open files
			pause = min(2*pause+10*time.Millisecond, time.Second)
			p.log().Warn("a connection cannot be accepted", "error", err)
			sleep(ctx, pause)
			continue
		}
		pause = 0
		running.Go(func() { p.serve(ctx, conn) })
	}
}

// listen makes the socket under another name and puts it into its place, so that there is one at
// every moment.
func (p *Program) listen() (*net.UnixListener, error) {
	made := p.Socket + ".new"
	if err := os.Remove(made); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := listenPrivately(made)
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // the path may be another program's by then
	mode := p.Mode
	if mode == 0 {
		mode = 0o660
	}
	if err := errors.Join(os.Chmod(made, mode), os.Rename(made, p.Socket)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// listenPrivately makes a socket that only its owner can connect to, whatever the umask. Linux
// gives the file the permissions that the socket has when it is bound.
func listenPrivately(path string) (*net.UnixListener, error) {
	config := net.ListenConfig{Control: func(_, _ string, socket syscall.RawConn) error {
		var err error
		closed := socket.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), 0o600) })
		return errors.Join(closed, err)
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

// Forget has all daemons that are connected ask again about a key, about all if it is nil.
func (p *Program) Forget(key []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	record := outside.AppendForget(nil, key)
	for c := range p.conns {
		c.send(record)
	}
}

func (p *Program) log() *slog.Logger {
	if p.Log == nil {
		return slog.Default()
	}
	return p.Log
}

// serve serves one connection to its end.
func (p *Program) serve(ctx context.Context, conn net.Conn) {
	c := &connection{program: p, conn: conn, log: p.log()}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	p.mu.Lock()
	if p.conns == nil {
		p.conns = map[*connection]struct{}{}
	}
	p.conns[c] = struct{}{}
	p.mu.Unlock()
	err := c.run(ctx)
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		c.log.Warn("the connection to a daemon has ended", "error", err)
	}
}

// sleep waits for a while, or until the context ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
