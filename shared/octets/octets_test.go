package octets

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestHexAsPeopleWriteIt(t *testing.T) {
	want := []byte{2, 0, 0x5e, 0x10, 0, 1}
	for _, s := range []string{"02:00:5e:10:00:01", "02-00-5E-10-00-01", "0200.5e10.0001", "02005e100001", "0x02005e100001", "0x02-00-5e-10-00-01"} {
		if got, err := ParseHex(s); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %x, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0x", "2:0:5e", "xyz", "02:0", "02_00", "02::00", "02:00:", strings.Repeat("00", Max+1)} {
		if got, err := ParseHex(s); err == nil {
			t.Errorf("%.20q is taken as %x", s, got)
		}
	}
}

func TestRemoteIDs(t *testing.T) {
	for s, want := range map[string]string{
		"3561:line-7": "\x00\x00\x0d\xe9line-7", "3561:0x0a-0b": "\x00\x00\x0d\xe9\x0a\x0b", "0x00000de90a": "\x00\x00\x0d\xe9\x0a",
		"00:00:0d:e9:6c:37": "\x00\x00\x0d\xe9l7", "00000de96c37": "\x00\x00\x0d\xe9l7", "00-00-0D-E9-6C": "\x00\x00\x0d\xe9l",
		"00:line-7": "\x00\x00\x00\x00line-7", "0:00:0d:e9": "\x00\x00\x00\x0000:0d:e9", "00:00:0d": "\x00\x00\x00\x0000:0d",
		"line-7": "", "3561:": "", "4294967296:x": "", "0x00000de9": "",
	} {
		got, err := ParseRemoteID(s)
		if (err == nil) != (want != "") || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", s, got, err, want)
		}
	}
}

func TestRemoteIDsAreShownAsPeopleWriteThem(t *testing.T) {
	for octets, want := range map[string]string{
		"\x00\x00\x0d\xe9line 7": "3561:line 7", "\x00\x00\x0d\xe9\x0a\x0b": "3561:0x0a0b", "\x00\x00\x0d\xe90x": "3561:0x3078",
		"\xff\xff\xff\xffa:b": "4294967295:a:b", "\x00\x00\x0d\xe9": "0x00000de9",
	} {
		if got := ShowRemoteID([]byte(octets)); got != want {
			t.Errorf("%q is shown as %q, want %q", octets, got, want)
		}
	}
}

// What Show and ShowRemoteID give, Parse and ParseRemoteID take back.
func TestWhatIsShownCanBeRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 1, Max).Draw(t, "octets")
		if got, err := Parse(Show(b)); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%q is read as %x, %v, want %x", Show(b), got, err, b)
		}
		if len(b) < 5 {
			return
		}
		if got, err := ParseRemoteID(ShowRemoteID(b)); err != nil || !bytes.Equal(got, b) {
			t.Errorf("the Remote-Id %q is read as %x, %v, want %x", ShowRemoteID(b), got, err, b)
		}
	})
}
