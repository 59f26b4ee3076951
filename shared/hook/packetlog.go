package hook

import (
	"log/slog"
	"strings"
	"time"
)

// PacketLog is what the hooks packetlog of both daemons have in common. They log decoded packets.
type PacketLog struct {
	log     *slog.Logger
	sampler *Sampler
}

// NewPacketLog returns a log of at most rate packets a second, of all packets if rate is 0.
func NewPacketLog(log *slog.Logger, rate uint32) PacketLog {
	return PacketLog{log, NewSampler(rate)}
}

// At returns the log for an event at a point. It returns false if the event is not to be logged.
func (l *PacketLog) At(point string, now time.Time) (*slog.Logger, bool) {
	left, ok := l.sampler.Take(now)
	if !ok {
		return nil, false
	}
	return l.log.With("point", point, "unlogged", left), true
}

// Write logs a packet with all options on one line, or the error with which it was decoded.
func (*PacketLog) Write(log *slog.Logger, packet interface{ Summary() string }, err error) {
	if err != nil {
		log.Info("packet that cannot be decoded", "error", err)
		return
	}
	log.Info("packet", "packet", strings.Join(strings.Fields(packet.Summary()), " "))
}
