package daemon

import (
	"log/slog"
	"net"
	"os"
)

// notify tells systemd about the state of the service (sd_notify(3)), where
// NOTIFY_SOCKET names its socket.
func notify(state string, log *slog.Logger) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err == nil {
		_, err = conn.Write([]byte(state))
		_ = conn.Close() // a datagram socket has nothing left to say
	}
	if err != nil {
		log.Warn("service manager not notified", "state", state, "error", err)
	}
}
