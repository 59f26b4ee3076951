package compare

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// fileSystem returns the name of a directory's file system. It returns an error for one in memory,
// where a sync costs nothing.
func fileSystem(dir string) (string, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return "", fmt.Errorf("looking at the file system of %s: %w", dir, err)
	}
	if s.Type == unix.TMPFS_MAGIC || s.Type == unix.RAMFS_MAGIC {
		return "", fmt.Errorf("%s is in memory, where a sync costs nothing: name a directory on a disk with -dir", dir)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", fmt.Errorf("reading what is mounted: %w", err)
	}
	best, name := "", fmt.Sprintf("type %#x", s.Type)
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) > 2 && len(f[1]) >= len(best) &&
			(dir == f[1] || strings.HasPrefix(dir, strings.TrimSuffix(f[1], "/")+"/")) {
			best, name = f[1], f[2]+" on "+f[0]
		}
	}
	return name, nil
}

// machine describes the machine for the report.
func machine() string {
	var u unix.Utsname
	_ = unix.Uname(&u) // cannot fail
	cpu := "processor unknown"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				cpu = strings.TrimSpace(strings.TrimLeft(name, "\t :"))
				break
			}
		}
	}
	var load unix.Sysinfo_t
	_ = unix.Sysinfo(&load)
	var set unix.CPUSet
	_ = unix.SchedGetaffinity(0, &set)
	return fmt.Sprintf("%d × %s, Linux %s, load average %.1f at the start", set.Count(), cpu,
		unix.ByteSliceToString(u.Release[:]), float64(load.Loads[0])/65536)
}
