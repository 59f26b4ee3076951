package netns

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/ethernet"
)

// A Capture writes every frame that an interface sends or receives to a pcap
// file (the classic format, microseconds, Ethernet).
type Capture struct {
	socket *os.File
	file   *os.File
	ended  chan struct{}

	mu     sync.Mutex
	out    *bufio.Writer
	frames int
	err    error
}

// The magic number of pcap for microseconds, and its link type for Ethernet.
const (
	pcapMagic    = 0xa1b2c3d4
	pcapEthernet = 1
)

// Capture records an interface of the host to a file. The file is complete after Close of the
// capture or of the lab.
func (h *Host) Capture(name, path string) (*Capture, error) {
	socket, err := In(h, func() (*os.File, error) { return ethernet.OpenPort(name, ethernet.BothDirections) })
	if err != nil {
		return nil, fmt.Errorf("host %s: capturing %s: %w", h.Name, name, err)
	}
	file, err := os.Create(path)
	if err != nil {
		socket.Close()
		return nil, fmt.Errorf("making a capture file: %w", err)
	}
	c := &Capture{socket: socket, file: file, out: bufio.NewWriter(file), ended: make(chan struct{})}
	header := binary.LittleEndian.AppendUint32(nil, pcapMagic)
	header = binary.LittleEndian.AppendUint16(header, 2)       // major version
	header = binary.LittleEndian.AppendUint16(header, 4)       // minor version
	header = binary.LittleEndian.AppendUint64(header, 0)       // time zone, accuracy: unused
	header = binary.LittleEndian.AppendUint32(header, 1<<18-1) // longest frame
	header = binary.LittleEndian.AppendUint32(header, pcapEthernet)
	_, c.err = c.out.Write(header)
	go c.run()
	h.lab.closeLater(c)
	return c, nil
}

func (c *Capture) run() {
	defer close(c.ended)
	frame := make([]byte, 1<<16)
	for {
		n, err := c.socket.Read(frame)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			continue // the interface is down or gone, which the kernel reports once
		}
		now := time.Now()
		head := binary.LittleEndian.AppendUint32(nil, uint32(now.Unix()))
		head = binary.LittleEndian.AppendUint32(head, uint32(now.Nanosecond()/1000))
		head = binary.LittleEndian.AppendUint32(head, uint32(n))
		head = binary.LittleEndian.AppendUint32(head, uint32(n))
		c.mu.Lock()
		_, err1 := c.out.Write(head)
		_, err2 := c.out.Write(frame[:n])
		c.err = errors.Join(c.err, err1, err2)
		c.frames++
		c.mu.Unlock()
	}
}

// Flush writes all frames recorded so far to the file, and returns their number.
func (c *Capture) Flush() (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.frames, errors.Join(c.err, c.out.Flush())
}

// Close ends the capture and completes the file.
func (c *Capture) Close() error {
	if err := c.socket.Close(); err != nil {
		if errors.Is(err, os.ErrClosed) {
			return nil // it was closed before
		}
		return fmt.Errorf("closing a capture: %w", err)
	}
	<-c.ended
	_, err := c.Flush()
	if err = errors.Join(err, c.file.Close()); err != nil {
		return fmt.Errorf("writing capture %s: %w", c.file.Name(), err)
	}
	return nil
}
