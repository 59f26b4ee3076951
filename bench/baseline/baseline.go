// Package baseline is what the benchmarks compare with: a pair of programs that move datagrams as
// both halves must, and do nothing else. The cost of a real pair is given as a multiple of the cost
// of this one, on the same machine at the same time.
//
// The programs are in C, in source/baseline.c, and are compiled when they are needed.
package baseline

import (
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/test/netns"
)

//go:embed source/baseline.c
var source []byte

// Build compiles the program into dir and returns its path.
func Build(ctx context.Context, dir string) (string, error) {
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	text, program := filepath.Join(dir, "bare.c"), filepath.Join(dir, "bare")
	if err := os.WriteFile(text, source, 0o600); err != nil {
		return "", fmt.Errorf("writing the bare pair: %w", err)
	}
	if out, err := exec.CommandContext(ctx, cc, "-O2", "-o", program, text).CombinedOutput(); err != nil {
		return "", fmt.Errorf("compiling the bare pair with %s (is a C compiler installed?): %w\n%s", cc, err, out)
	}
	return program, nil
}

// Start starts both halves on a host. The host has the address of the link's half.
func Start(h *netns.Host, program string, address netip.Addr, port uint16,
	offload bool) (six, four *netns.Process, err error) {
	var last []string
	if offload {
		last = []string{"offload"}
	}
	if four, err = start(h, append([]string{program, "4"}, last...)); err != nil {
		return nil, nil, err
	}
	six, err = start(h, append([]string{program, "6", address.String(), strconv.Itoa(int(port))}, last...))
	return six, four, err
}

func start(h *netns.Host, argv []string) (*netns.Process, error) {
	p, err := h.Start(nil, argv...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return p, p.WaitFor(ctx, func() error {
		if !strings.Contains(p.Output(), "ready") {
			return fmt.Errorf("the bare half has not said that it is ready")
		}
		return nil
	})
}
