// Package postgrestest runs PostgreSQL servers for tests.
package postgrestest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/shared/skip"
)

// Server is a PostgreSQL server of a test. It listens on a UNIX socket only, and syncs what it
// commits.
type Server struct {
	dir  string
	bin  string
	as   *syscall.Credential // PostgreSQL does not run as root
	args []string
	// enter calls a function where the server is to run.
	enter func(func() error) error

	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd has ended
}

// Start makes and starts a server with an empty database that a superuser may use, and with more
// settings, each as name=value. The test is skipped where PostgreSQL is not installed.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	return StartIn(t, func(start func() error) error { return start() }, settings...)
}

// StartIn is Start for a server in a network of its own: enter calls a function there. The server
// takes connections from that network without a password, if a setting makes it listen there.
func StartIn(t testing.TB, enter func(func() error) error, settings ...string) *Server {
	t.Helper()
	bin, err := binaries()
	if err != nil {
		skip.Test(t, err.Error())
	}
	s := &Server{bin: bin, enter: enter}
	if os.Getuid() == 0 {
		s.as = unprivileged(t)
	}
	s.makeDir(t)
	s.fill(t)
	s.admit(t)
	for _, setting := range settings {
		s.args = append(s.args, "-c", setting)
	}
	s.Restart(t)
	return s
}

// empty is an archive of the data directory with an empty database. The first server of a process
// makes it, because initdb takes several times as long as tar.
var empty struct {
	sync.Mutex
	tar []byte
}

// fill makes the data directory of s, with an empty database.
func (s *Server) fill(t testing.TB) {
	t.Helper()
	empty.Lock()
	defer empty.Unlock()
	if empty.tar != nil {
		tar := s.Unprivileged("tar", "-x")
		tar.Stdin = bytes.NewReader(empty.tar)
		if out, err := tar.CombinedOutput(); err != nil {
			t.Fatalf("tar: %v\n%s", err, out)
		}
		return
	}
	initdb := s.command("initdb", "-D", s.data(), "-A", "trust", "-U", "dhcp4d", "--no-locale", "-E", "UTF8",
		"--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	var err error
	if empty.tar, err = s.Unprivileged("tar", "-c", filepath.Base(s.data())).Output(); err != nil {
		t.Fatalf("tar: %v", err)
	}
}

// admit lets clients from any address in.
func (s *Server) admit(t testing.TB) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(s.data(), "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString("host all all all trust\n")
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// makeDir makes the directory of the server, until the test ends.
func (s *Server) makeDir(t testing.TB) {
	t.Helper()
	var err error
	if s.dir, err = os.MkdirTemp(parent(), "postgres"); err != nil { // shorter than t.TempDir, for the socket's path
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Kill(t)
		_ = os.RemoveAll(s.dir) // of /tmp, or in memory
	})
	if s.as != nil {
		if err := os.Chown(s.dir, int(s.as.Uid), int(s.as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	// A server that is killed leaves its shared memory behind. With mmap that is in its directory.
	s.args = []string{"-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "dynamic_shared_memory_type=mmap"}
}

// Standby makes and starts a server that follows s, and waits until it does.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	n := &Server{bin: s.bin, as: s.as, enter: s.enter}
	n.makeDir(t)
	backup := n.command("pg_basebackup", "-h", s.dir, "-U", "dhcp4d", "-D", n.data(), "-R", "-X", "stream", "-c",
		"fast", "--no-sync")
	if out, err := backup.CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v\n%s", err, out)
	}
	n.Restart(t)
	for s.Query(t, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "0" {
		time.Sleep(10 * time.Millisecond)
	}
	return n
}

// Unfollow has a standby receive nothing any more.
func (s *Server) Unfollow(t testing.TB) {
	t.Helper()
	s.Query(t, "ALTER SYSTEM SET primary_conninfo = ''")
	s.Query(t, "SELECT pg_reload_conf()")
	for s.Query(t, "SELECT count(*) FROM pg_stat_wal_receiver") != "0" {
		time.Sleep(10 * time.Millisecond)
	}
}

// Promote has a standby take writes.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	if got := s.Query(t, "SELECT pg_promote()"); got != "t" {
		t.Fatalf("pg_promote: %s", got)
	}
}

// URLOf names the database of several servers, of which one takes writes.
func URLOf(servers ...*Server) string {
	var hosts, ports []string
	for _, s := range servers {
		hosts, ports = append(hosts, s.dir), append(ports, "5432")
	}
	return fmt.Sprintf("postgres://dhcp4d@/postgres?host=%s&port=%s",
		strings.Join(hosts, ","), strings.Join(ports, ","))
}

// parent is where the directories of servers are made. It is in memory, if the machine has such a
// file system with enough room for the servers of all tests that run at once. A server that was
// killed syncs each of its thousand files when it starts again, which takes seconds on a busy disk.
// No test cuts the power, so none needs a disk: what a killed server has written, the kernel keeps
// in both. "" is the directory for temporary files.
func parent() string {
	const memory, room = "/dev/shm", 2 << 30
	var fs unix.Statfs_t
	if err := unix.Statfs(memory, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC || fs.Bavail*uint64(fs.Bsize) < room {
		return ""
	}
	return memory
}

// binaries returns the directory of the newest PostgreSQL that is installed.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err == nil && len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	name, err := exec.LookPath("postgres")
	if err != nil {
		return "", errors.New("PostgreSQL is not installed (Debian's package postgresql)")
	}
	return filepath.Dir(name), nil
}

// unprivileged returns somebody who is not root.
func unprivileged(t testing.TB) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(name string, args ...string) *exec.Cmd {
	return s.Unprivileged(filepath.Join(s.bin, name), args...)
}

// Dir is the directory of the server's socket.
func (s *Server) Dir() string { return s.dir }

// Unprivileged returns a command of another program that runs as the server's user.
func (s *Server) Unprivileged(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir = s.dir
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Setpgid: true}
	return c
}

// URL names the database, with more options of the form name=value.
func (s *Server) URL(options ...string) string {
	return fmt.Sprintf("postgres://dhcp4d@/postgres?%s",
		strings.Join(append([]string{"host=" + s.dir}, options...), "&"))
}

// Restart starts the server that is not running, and waits until it takes connections.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.start(t, log)
	for began := time.Now(); s.command("pg_isready", "-q", "-h", s.dir, "-d", "postgres", "-U",
		"dhcp4d").Run() != nil; {
		if time.Since(began) > time.Minute {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("PostgreSQL takes no connections:\n%s", text)
		}
		time.Sleep(20 * time.Millisecond)
		select {
		case <-s.ended: // it refuses to start while a backend of the killed one lives
			s.start(t, log)
		default:
		}
	}
}

// start starts the server once.
func (s *Server) start(t testing.TB, log *os.File) {
	t.Helper()
	cmd, ended := s.command("postgres", s.args...), make(chan struct{})
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT
	started := make(chan error)
	go func() {
		// The kernel sends the signal of Pdeathsig when the thread ends that has started the
		// process. So a thread is kept for that.
		runtime.LockOSThread()
		err := s.enter(cmd.Start)
		started <- err
		if err == nil {
			_ = cmd.Wait() // it is killed
		}
		close(ended)
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	s.cmd, s.ended = cmd, ended
}

// Kill ends the server and all its backends with SIGKILL.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	s.signal(syscall.SIGKILL)
	<-s.ended
	s.cmd = nil
}

// Freeze stops the server and all its backends until Thaw.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

// signal signals the server and its backends. Each backend has a process group of its own.
func (s *Server) signal(sig syscall.Signal) {
	pid := s.cmd.Process.Pid
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	_ = syscall.Kill(pid, sig)
	for child := range strings.FieldsSeq(string(children)) {
		if n, err := strconv.Atoi(child); err == nil {
			_ = syscall.Kill(n, sig) // it may be gone
		}
	}
}

// Query runs SQL as psql prints it, unaligned and without headers.
func (s *Server) Query(t testing.TB, sql string) string {
	t.Helper()
	out, err := s.command("psql", "-X", "-q", "-At", "-h", s.dir, "-U", "dhcp4d", "-d", "postgres", "-v",
		"ON_ERROR_STOP=1", "-c", sql).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", sql, err, out)
	}
	return strings.TrimSpace(string(out))
}

// Dump returns a backup of a schema, as pg_dump makes it.
func (s *Server) Dump(t testing.TB, schema string) []byte {
	t.Helper()
	out, err := s.command("pg_dump", "-h", s.dir, "-U", "dhcp4d", "-d", "postgres", "-n", schema).Output()
	if err != nil {
		t.Fatalf("pg_dump: %v", err)
	}
	return out
}

// Restore restores what Dump has returned.
func (s *Server) Restore(t testing.TB, dump []byte) {
	t.Helper()
	psql := s.command("psql", "-X", "-q", "-h", s.dir, "-U", "dhcp4d", "-d", "postgres", "-v", "ON_ERROR_STOP=1")
	psql.Stdin = bytes.NewReader(dump)
	if out, err := psql.CombinedOutput(); err != nil {
		t.Fatalf("restoring: %v\n%s", err, out)
	}
}

// Begin runs SQL in a transaction, which keeps its locks until end is called.
func (s *Server) Begin(t testing.TB, sql string) (end func()) {
	t.Helper()
	psql := s.command("psql", "-X", "-q", "-At", "-h", s.dir, "-U", "dhcp4d", "-d", "postgres", "-v", "ON_ERROR_STOP=1")
	in, err1 := psql.StdinPipe()
	out, err2 := psql.StdoutPipe()
	if err := errors.Join(err1, err2, psql.Start()); err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		_ = in.Close() // psql ends, and with it the transaction
		_ = psql.Wait()
	})
	t.Cleanup(end)
	if _, err := fmt.Fprintf(in, "BEGIN;\n%s;\n\\echo begun\n", sql); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); ; {
		if !lines.Scan() {
			t.Fatalf("psql ends at %s", sql)
		}
		if lines.Text() == "begun" {
			return end
		}
	}
}

// CPU returns the processor time that the server and all its processes have used.
func (s *Server) CPU(t testing.TB) time.Duration {
	t.Helper()
	pid := s.cmd.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	used := ran(strconv.Itoa(pid)) + ended(pid)
	for child := range strings.FieldsSeq(string(children)) {
		used += ran(child)
	}
	return used
}

// ran returns the processor time of a process with one thread, 0 if it is gone.
func ran(pid string) time.Duration {
	b, err := os.ReadFile("/proc/" + pid + "/schedstat")
	if err != nil {
		return 0
	}
	ns, _, _ := strings.Cut(string(b), " ")
	n, _ := strconv.ParseInt(ns, 10, 64) // it is a number
	return time.Duration(n)
}

// ended returns the processor time of the children of a process that have ended, which the kernel
// tells in hundredths of a second. See proc(5), /proc/pid/stat, fields 16 and 17.
func ended(pid int) (sum time.Duration) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	for _, f := range strings.Fields(rest)[13:15] {
		n, _ := strconv.ParseInt(f, 10, 64) // they are numbers
		sum += time.Duration(n) * (time.Second / 100)
	}
	return sum
}
