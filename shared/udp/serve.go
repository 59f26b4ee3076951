package udp

import (
	"errors"
	"log/slog"
	"net"
	"time"
)

// readPause is the time between a failed read and the next one.
const readPause = 100 * time.Millisecond

// Serve reads from r and calls batch with the packets of each read, until the socket is closed. The
// packets are valid until batch returns. An error of a read does not end the loop, because it may
// be transient, such as a lack of memory in the kernel. Serve logs it and tries again after a
// pause.
func Serve(r Reader, log *slog.Logger, batch func([]Packet)) {
	for {
		packets, err := r.Read()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			log.Error("reading the socket failed, trying again", "error", err, "after", readPause)
			time.Sleep(readPause)
		default:
			batch(packets)
		}
	}
}
