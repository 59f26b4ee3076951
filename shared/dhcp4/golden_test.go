package dhcp4

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// golden reads a file of messages: a name on a line of its own, then lines of
// hex, then an empty line. Lines that start with # are comments.
func golden(t testing.TB, file string) map[string][]byte {
	t.Helper()
	f, err := os.Open("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ms := make(map[string][]byte)
	name := ""
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line := strings.TrimSpace(sc.Text())
		switch {
		case strings.HasPrefix(line, "#"):
		case line == "":
			name = ""
		case name == "":
			name = line
		default:
			b, err := hex.DecodeString(line)
			if err != nil {
				t.Fatalf("%s: %s: %v", file, name, err)
			}
			ms[name] = append(ms[name], b...)
		}
	}
	return ms
}

func mustParse(t testing.TB, b []byte) Message {
	t.Helper()
	var m Message
	why := m.Parse(b)
	if why != drop.None {
		t.Fatalf("dropped: %v", why)
	}
	return m
}

func TestParseGolden(t *testing.T) {
	id := []byte{0xff, 0, 0, 0, 1, 0, 3, 0, 1, 8, 0, 0x27, 0x12, 0x34, 0x56}
	for _, c := range []struct {
		file, name     string
		typ            MessageType
		xid            Xid
		ciaddr, yiaddr string
		lease          uint32
		clientID, list []byte
	}{
		{"rfc4361.hex", "discover", Discover, 0x3d1d0001, "0.0.0.0", "0.0.0.0", 0, id, []byte{1, 3, 6}},
		{"rfc4361.hex", "renew", Request, 0x3d1d0002, "192.0.2.10", "0.0.0.0", 0, id, []byte{1, 3, 6}},
		{"rfc4361.hex", "offer", Offer, 0x3d1d0001, "0.0.0.0", "192.0.2.10", 3600, id, nil},
		{"rfc4361.hex", "ack", ACK, 0x3d1d0002, "192.0.2.10", "192.0.2.10", 3600, id, nil},
		{"capture.hex", "discover", Discover, 0x3d89be05, "0.0.0.0", "0.0.0.0", 0, nil, []byte{1, 28, 3, 15, 6, 54}},
		{"capture.hex", "offer", Offer, 0x3d89be05, "0.0.0.0", "10.0.0.48", 4000, nil, nil},
		{"capture.hex", "request", Request, 0x3d89be05, "0.0.0.0", "0.0.0.0", 0, nil, []byte{1, 28, 3, 15, 6, 54}},
		{"capture.hex", "ack", ACK, 0x3d89be05, "0.0.0.0", "10.0.0.49", 4000, nil, nil},
	} {
		t.Run(c.file+" "+c.name, func(t *testing.T) {
			m := mustParse(t, golden(t, c.file)[c.name])
			if m.Type() != c.typ || m.Xid() != c.xid || m.CIAddr().String() != c.ciaddr || m.YIAddr().String() != c.yiaddr {
				t.Errorf("got %v %#x ciaddr %v yiaddr %v", m.Type(), m.Xid(), m.CIAddr(), m.YIAddr())
			}
			if v, _ := m.Uint32(OptLeaseTime); v != c.lease {
				t.Errorf("lease time %d, want %d", v, c.lease)
			}
			if v, _ := m.Option(OptClientIdentifier); !bytes.Equal(v, c.clientID) {
				t.Errorf("client identifier %x, want %x", v, c.clientID)
			}
			if v := m.ParameterRequestList(); !bytes.Equal(v, c.list) {
				t.Errorf("parameter request list %d, want %d", v, c.list)
			}
		})
	}
}
