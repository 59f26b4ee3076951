package udp_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// script is a reader whose reads come to what is written down for it.
type script []any // []udp.Packet or error

func (s *script) Read() ([]udp.Packet, error) {
	next := (*s)[0]
	*s = (*s)[1:]
	if err, ok := next.(error); ok {
		return nil, err
	}
	return next.([]udp.Packet), nil
}

func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		var got []string
		reads := &script{
			[]udp.Packet{{Data: []byte("one")}, {Data: []byte("two")}},
			errors.New("no buffer space"),
			[]udp.Packet{{Data: []byte("three")}},
			net.ErrClosed,
		}
		udp.Serve(reads, slog.New(slog.NewTextHandler(&logged, nil)), func(ps []udp.Packet) {
			for _, p := range ps {
				got = append(got, string(p.Data))
			}
		})
		if want := []string{"one", "two", "three"}; !slices.Equal(got, want) {
			t.Errorf("served %q, want %q: an error of one read must not end the loop", got, want)
		}
		if strings.Count(logged.String(), "\n") != 1 || !strings.Contains(logged.String(), "no buffer space") {
			t.Errorf("the failed read is logged once, got %q", logged.String())
		}
		if len(*reads) != 0 {
			t.Errorf("%d reads were not made", len(*reads))
		}
	})
}
