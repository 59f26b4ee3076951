package daemon

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/sys/unix"
)

// Format is the form of the log.
type Format string

// The formats; the zero Format is Tint on a terminal, else JSON.
const (
	Tint Format = "tint"
	JSON Format = "json"
	Text Format = "text"
)

// UnmarshalText takes a format's name.
func (f *Format) UnmarshalText(text []byte) error {
	switch v := Format(text); v {
	case Tint, JSON, Text:
		*f = v
		return nil
	}
	return fmt.Errorf("%q is no log format", text)
}

// NewLogger returns a logger that writes to w. If w is a pipe, a socket or a terminal that nobody
// reads, lines are lost, and the next one that is read is behind their number.
func NewLogger(w io.Writer, f Format, level slog.Leveler) *slog.Logger {
	terminal := IsTerminal(w)
	if f == "" {
		f = JSON
		if terminal {
			f = Tint
		}
	}
	if file, ok := w.(*os.File); ok && hasReader(file) {
		w = &unread{file: file, said: func(lost int) []byte {
			var line bytes.Buffer
			NewLogger(&line, f, level).Warn("lines of the log are lost: nobody has read them", "lines", lost)
			return line.Bytes()
		}}
	}
	switch f {
	case Tint:
		return slog.New(tint.NewTextHandler(w, &tint.Options{
			Level: level, TimeFormat: time.TimeOnly, NoColor: !terminal,
		}))
	case Text:
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}

// IsTerminal reports whether w is a terminal, where a person looks.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
