// Package ownclock gives a process a wall clock of its own, which a test sets at any moment. The
// program needs no change, and the clock of the machine is left alone.
//
// A program reads the wall clock by a function of the vDSO, code that the kernel maps into each
// process. A Clock replaces that function in the memory of one process, by one that adds a number
// of seconds. Time stamps of the kernel itself, such as those of files and datagrams, stay as they
// are.
package ownclock

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// Clock is the wall clock of a process and of those that take its place, such as a daemon that is
// started anew.
type Clock struct {
	mu    sync.Mutex
	ahead int64 // seconds
	slots []slot
}

// slot is where the code in a process has the number of seconds.
type slot struct {
	pid int
	at  int64
}

// code is clock_gettime by a system call, with a number of seconds added to CLOCK_REALTIME, which
// is clock 0.
var code = []byte{
	0xb8, 228, 0, 0, 0, // mov $228, %eax (clock_gettime)
	0x0f, 0x05, // syscall
	0x85, 0xff, // test %edi, %edi
	0x75, 10, // jne to the end
	0x48, 0x8b, 0x0d, slotAt - 18, 0, 0, 0, // mov slot(%rip), %rcx
	0x48, 0x01, 0x0e, // add %rcx, (%rsi)
	0xc3, 0xc3, // ret
	0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
}

const (
	slotAt  = 32
	jumpLen = 5
)

// Give gives a process the clock. The process must not have read its own yet.
func (c *Clock) Give(pid int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("giving process %d a clock: %w", pid, err)
	}
	defer memory.Close()
	start, vdso, err := readVDSO(memory, pid)
	if err != nil {
		return fmt.Errorf("giving process %d a clock: %w", pid, err)
	}
	function, err := find(vdso, "__vdso_clock_gettime")
	if err != nil {
		return fmt.Errorf("giving process %d a clock: %w", pid, err)
	}
	// The code goes where nothing is, at the end of the last page.
	room := (len(vdso) - slotAt - 8) &^ 7
	if len(bytes.Trim(vdso[room:], "\x00")) > 0 {
		return errors.New("the vDSO has no room")
	}
	jump := binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(room-function-jumpLen)) // both are within two pages
	_, err = memory.WriteAt(code, start+int64(room))
	_, err2 := memory.WriteAt(jump, start+int64(function))
	s := slot{pid, start + int64(room) + slotAt}
	if err := errors.Join(err, err2, s.set(c.ahead)); err != nil {
		return fmt.Errorf("giving process %d a clock: %w", pid, err)
	}
	c.slots = append(c.slots, s)
	return nil
}

// Step sets the clock forward, or back.
func (c *Clock) Step(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += int64(by / time.Second)
	kept := c.slots[:0]
	for _, s := range c.slots {
		if s.set(c.ahead) == nil { // otherwise the process has ended
			kept = append(kept, s)
		}
	}
	c.slots = kept
}

func (s slot) set(seconds int64) error {
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", s.pid), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = memory.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(seconds)), s.at)
	return errors.Join(err, memory.Close())
}

// readVDSO returns where the vDSO of a process is, and its octets.
func readVDSO(memory *os.File, pid int) (start int64, octets []byte, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, nil, err
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.Contains(line, "[vdso]") {
			continue
		}
		var end int64
		if _, err := fmt.Sscanf(line, "%x-%x", &start, &end); err != nil {
			return 0, nil, err
		}
		octets = make([]byte, end-start)
		_, err := memory.ReadAt(octets, start)
		return start, octets, err
	}
	return 0, nil, errors.New("it has no vDSO")
}

// find returns where a function is in the vDSO.
func find(vdso []byte, name string) (int, error) {
	file, err := elf.NewFile(bytes.NewReader(vdso))
	if err != nil {
		return 0, err
	}
	if file.Machine != elf.EM_X86_64 {
		return 0, errors.New("the code is for amd64 only")
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return 0, err
	}
	for _, s := range symbols {
		if s.Name == name && s.Value < uint64(len(vdso)) {
			return int(s.Value), nil
		}
	}
	return 0, fmt.Errorf("the vDSO has no %s", name)
}
