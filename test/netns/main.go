package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideEnv marks the copy of the program that [Main] has started in new namespaces, so that the
// copy does not start another one.
const insideEnv = "DHCP4O6_LAB_INSIDE"

// Main runs a program, or from TestMain the tests of a package, where network namespaces can be
// made. It returns the exit status:
//
//	func TestMain(m *testing.M) { os.Exit(netns.Main(m.Run)) }
//
// As root it calls run. Otherwise it executes the program again as the root of new user, network
// and mount namespaces, which needs no privilege if the kernel allows it. If the kernel does not,
// it calls run all the same, and [Available] returns why.
//
// SIGINT and SIGTERM close all labs before the program ends.
func Main(run func() int) int {
	if Available() != nil && os.Getenv(insideEnv) == "" {
		status, err := again()
		if err == nil {
			return status
		}
		available.Lock()
		available.err = explain(err)
		available.Unlock()
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM)
	go func() {
		s := <-signals
		closeAll()
		os.Exit(128 + int(s.(syscall.Signal)))
	}()
	defer closeAll()
	return run()
}

// again executes this program in new namespaces, in which the user is root, and waits for it.
func again() (int, error) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   unix.SIGKILL,
	}
	// The death signal is sent when the thread ends that started the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The terminal sends its signals to the child too. The child ends first, then this program.
	signal.Ignore(unix.SIGINT)
	defer signal.Reset(unix.SIGINT)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, unix.SIGTERM)
	defer signal.Stop(terminate)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case <-terminate:
			_ = cmd.Process.Signal(unix.SIGTERM) // fails only if it has ended
		case err := <-ended:
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				return 0, err
			}
			if exit != nil && exit.ExitCode() < 0 {
				return 1, nil // ended by a signal
			}
			return cmd.ProcessState.ExitCode(), nil
		}
	}
}

// available remembers whether this process can make network namespaces.
var available struct {
	sync.Mutex
	known bool
	err   error
}

// Available returns nil if labs can be made, else an error with the reason and what to do.
func Available() error {
	available.Lock()
	defer available.Unlock()
	if !available.known {
		available.known = true
		available.err = explain(try())
	}
	return available.err
}

// try makes a network namespace in a thread that ends with it.
func try() error {
	err := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err <- unix.Unshare(unix.CLONE_NEWNET)
	}()
	return <-err
}

func explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot make network namespaces: %w; run this as root, or allow unprivileged user namespaces: "+
		"sysctl user.max_user_namespaces must not be 0, on Debian and Ubuntu also kernel.unprivileged_userns_clone=1 and "+
		"kernel.apparmor_restrict_unprivileged_userns=0; inside a container, start it with --privileged", err)
}

// open holds the labs that a signal must close.
var open struct {
	sync.Mutex
	labs map[*Lab]struct{}
}

func register(l *Lab) {
	open.Lock()
	defer open.Unlock()
	if open.labs == nil {
		open.labs = make(map[*Lab]struct{})
	}
	open.labs[l] = struct{}{}
}

func unregister(l *Lab) {
	open.Lock()
	defer open.Unlock()
	delete(open.labs, l)
}

func closeAll() {
	open.Lock()
	var labs []*Lab
	for l := range open.labs {
		labs = append(labs, l)
	}
	open.Unlock()
	for _, l := range labs {
		_ = l.Close() // the program ends anyway
	}
}
