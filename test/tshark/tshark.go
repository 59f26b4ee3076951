// Package tshark checks captures with tshark, a dissector that is not ours.
package tshark

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// ErrMissing means that tshark is not installed.
var ErrMissing = errors.New("tshark is not installed (Debian: apt-get install tshark)")

// complaints is a display filter for what should not be on a link: packets that a dissector could
// not read, wrong checksums (0 is "bad"), and DHCPv6 errors.
const complaints = "_ws.malformed || ip.checksum.status == 0 || udp.checksum.status == 0 || icmpv6.checksum.status " +
	"== 0 || _ws.expert.severity == error"

// Check returns one line per faulty packet of a capture, and the number of packets.
func Check(file string) (faults []string, packets int, err error) {
	all, err := Fields(file, "", "frame.number")
	if err != nil {
		return nil, 0, err
	}
	lines, err := run(file, "-Y", complaints, "-V")
	if err != nil {
		return nil, 0, err
	}
	for _, line := range lines {
		if strings.Contains(line, "[Expert Info (Error") || strings.Contains(line, "[Malformed") ||
			strings.HasPrefix(line, "Frame ") {
			faults = append(faults, strings.TrimSpace(line))
		}
	}
	return faults, len(all), nil
}

// Fields returns one line per packet that matches the display filter. Its fields are separated by
// tabs.
func Fields(file, filter string, fields ...string) ([]string, error) {
	args := []string{"-T", "fields"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	if filter != "" {
		args = append(args, "-Y", filter)
	}
	return run(file, args...)
}

func run(file string, args ...string) ([]string, error) {
	path, err := exec.LookPath("tshark")
	if err != nil {
		return nil, ErrMissing
	}
	cmd := exec.Command(path,
		append([]string{"-n", "-r", file, "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("tshark on %s: %w: %s", file, err, stderr.String())
	}
	text := strings.TrimRight(string(out), "\n")
	if text == "" {
		return nil, nil
	}
	return strings.Split(text, "\n"), nil
}
