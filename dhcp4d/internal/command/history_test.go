package command

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/exit"
)

func TestHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases.json")
	log := `{"time":"2026-03-01T08:00:00Z","event":"allocated","address":"192.0.2.9","subnet":1,"client_id":"ff:01",` +
		`"hw_type":1,"hw_address":"02:00:00:00:00:01","ipv6_source":"2001:db8::1","interface":"eth1","relays":[{` +
		`"link_address":"2001:db8:1::1","peer_address":"fe80::1","interface_id":"70:37",` +
		`"remote_id":"00:00:0d:e9:6c:69:6e:65:2d:37"}],"start":"2026-03-01T08:00:00Z","expires":"2026-03-01T09:00:00Z"}
{"time":"2026-03-01T08:30:00Z","event":"released","by":"API","address":"192.0.2.9","subnet":1,"client_id":"ff:01","hw_type":1,"ipv6_source":"","start":"2026-03-01T08:00:00Z","expires":"2026-03-01T08:30:00Z"}
{"time":"2026-03-01T10:00:00Z","event":"allocated","address":"192.0.2.9","subnet":1,"hw_type":1,"hw_address":"02:00:00:00:00:02","ipv6_source":"","start":"2026-03-01T10:00:00Z","expires":null}
`
	if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"DHCP4D_LEASELOG_PATH=" + path, "DHCP4D_LEASELOG_ROTATE_SIZE=1M", "DHCP4D_SUBNETS=not a document"}
	first := "2026-03-01T08:00:00Z  2026-03-01T08:30:00Z  released by API  ff:01, hw 02:00:00:00:00:01  2001:db8::1  " +
		"interface eth1, relay link-address 2001:db8:1::1 Interface-Id \"p7\" Remote-Id 3561:line-7\n"
	for _, c := range []struct {
		line, want string
		code       int
		err        string
	}{
		{"192.0.2.9", first + "2026-03-01T10:00:00Z  never                 bound            hw 02:00:00:00:00:02         -            not known\n", 0, ""},
		{"192.0.2.9 2026-03-01T09:15:00+01:00", first, 0, ""},
		{"-zone Europe/Vienna 192.0.2.9 2026-03-01 09:15", "2026-03-01T09:00:00+01:00  2026-03-01T09:30:00+01:00", 0, ""},
		{"-json 192.0.2.9 2026-03-01 12:00 Europe/Vienna", `{"from":"2026-03-01T10:00:00Z","end":"bound","hw_type":1,"hw_address":"02:00:00:00:00:02","ipv6_source":""}` + "\n", 0, ""},
		{"192.0.2.9 2026-03-01T08:30:00Z", "", exit.StatusNotFound, "nobody had 192.0.2.9 at 2026-03-01T08:30:00Z"},
		{"192.0.2.10", "", exit.StatusNotFound, "nobody had 192.0.2.10 since 2026-03-01T08:00:00Z"},
		{"192.0.2.9 2026-02-01T08:30:00Z", "", exit.StatusCannotAsk, "the log begins at 2026-03-01T08:00:00Z, after"},
		{"-log /nonexistent/leases 192.0.2.9", "", exit.StatusCannotAsk, "/nonexistent"},
		{"192.0.2.9 2026-03-01 08:30", "", exit.Failed, "has no time zone; add one"},
		{"192.0.2.9 2999-01-01T00:00:00Z", "", exit.Failed, "has not come yet"},
		{"2001:db8::1", "", exit.Failed, "is not an IPv4 address"},
		{"-zone Nowhere 192.0.2.9", "", exit.Failed, "there is no time zone"},
		{"", "", exit.Failed, "want an address"},
	} {
		got, err := run(t, environ, append([]string{"leases", "history"}, strings.Fields(c.line)...)...)
		if exit.Code(err) != c.code || (err != nil && !strings.Contains(err.Error(), c.err)) || !strings.Contains(got, c.want) {
			t.Errorf("%s: status %d, error %v; wrote\n%s\nwant status %d, error %q\n%s", c.line, exit.Code(err), err, got, c.code, c.err, c.want)
		}
	}
	if _, err := run(t, nil, "leases", "history", "192.0.2.9"); exit.Code(err) != exit.StatusCannotAsk ||
		!strings.Contains(err.Error(), "no file of a lease log is known") {
		t.Errorf("of a log that goes to standard output: %v", err)
	}
}

// lines are lines of a lease log about an address. Each word is time/event/client/end, in 2025.
func lines(words ...string) string {
	var b strings.Builder
	for _, w := range words {
		f := strings.Split(w, "/")
		fmt.Fprintf(&b, `{"time":"2025-%sZ","event":%q,"address":"192.0.2.9","subnet":1,"client_id":"ff:0%s","hw_type":1,"hw_address":"02:00:00:00:00:0%[3]s",`+
			`"ipv6_source":"2001:db8::%[3]s","interface":"eth1","start":"2025-%[1]sZ","expires":"2025-%[4]sZ"}`+"\n", f[0], f[1], f[2], f[3])
	}
	return b.String()
}

// Four clients had an address, one after the other. The lines about them are in files that dhcp4d
// and logrotate have rotated, compressed or not. It is asked about in several notations and time
// zones, before, in and after each tenure, and at its ends.
func TestWhoOfFourHadTheAddress(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "leases.json")
	oldest := path + "-20250329T201500.000Z.gz"
	for name, text := range map[string]string{
		oldest: lines("03-29T08:00:00/allocated/1/03-29T14:00:00", "03-29T14:00:00/renewed/1/03-29T21:00:00",
			"03-29T20:00:00/released/1/03-29T20:00:00", "03-29T20:00:00/allocated/2/03-30T00:30:00"),
		path + ".2.gz":  lines("03-30T00:15:00/renewed/2/03-30T01:30:00"),
		path + ".1":     lines("03-30T01:30:00/expired/2/03-30T01:30:00", "03-30T03:00:00/allocated/3/03-30T09:00:00"),
		path:            lines("03-30T05:00:00/allocated/4/03-31T05:00:00", "03-31T05:00:00/expired/4/03-31T05:00:00"),
		path + "-notes": "not a log\n",
	} {
		var b bytes.Buffer
		b.WriteString(text)
		if strings.HasSuffix(name, ".gz") {
			b.Reset()
			z := gzip.NewWriter(&b)
			if _, err := z.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	environ := []string{"DHCP4D_LEASELOG_PATH=" + path}
	ask := func(line string) (string, error) {
		return run(t, environ, append([]string{"leases", "history"}, strings.Fields(line)...)...)
	}
	clients := func(text string) (who string) {
		for _, m := range regexp.MustCompile(`ff:0(\d)`).FindAllStringSubmatch(text, -1) {
			who += m[1]
		}
		return who
	}
	all, err := ask("192.0.2.9")
	if err != nil || clients(all) != "1234" {
		t.Errorf("all of them: %v\n%s", err, all)
	}
	for _, end := range []string{
		"2025-03-29T08:00:00Z  2025-03-29T20:00:00Z  released  ff:01", "2025-03-29T20:00:00Z  2025-03-30T01:30:00Z  expired   ff:02",
		"2025-03-30T03:00:00Z  2025-03-30T05:00:00Z  replaced  ff:03", "2025-03-30T05:00:00Z  2025-03-31T05:00:00Z  expired   ff:04",
	} {
		if !strings.Contains(all, end) {
			t.Errorf("%q is not in\n%s", end, all)
		}
	}
	for _, c := range []struct {
		time, who string
		code      int
	}{
		{"2025-03-29T07:59:59Z", "", exit.StatusCannotAsk}, // before the log
		{"2025-03-29T08:00:00Z", "1", 0},
		{"2025-03-29 09:00 +01:00", "1", 0},
		{"2025-03-29T13:59:59Z", "1", 0},
		{"2025-03-29T14:00:00Z", "1", 0}, // renewed
		{"2025-03-29T19:59:59.999Z", "1", 0},
		{"2025-03-29 20:59 Europe/Vienna", "1", 0},
		{"2025-03-29T20:00:00Z", "2", 0}, // one goes, another one comes
		{"2025-03-29 21:00:00 +0100", "2", 0},
		{"2025-03-29 21:00 Europe/Vienna", "2", 0},
		{"2025-03-30T01:45 +01:00", "2", 0}, // after its first end, which a renewal in the next file moved
		{"2025-03-30 03:29 Europe/Vienna", "2", 0},
		{"2025-03-29 18:29 America/Los_Angeles", "2", 0},
		{"2025-03-30T01:29:59Z", "2", 0},
		{"2025-03-30T01:30:00Z", "", exit.StatusNotFound},
		{"2025-03-30 02:59:59.999 UTC", "", exit.StatusNotFound},
		{"2025-03-30 08:45 Asia/Kathmandu", "3", 0},
		{"2025-03-30T03:00:00Z", "3", 0},
		{"2025-03-30T04:59:59Z", "3", 0},
		{"2025-03-30T05:00:00Z", "4", 0},
		{"2025-03-30 07:00 Europe/Vienna", "4", 0},
		{"2025-03-31T04:59:59Z", "4", 0},
		{"2025-03-31T05:00:00Z", "", exit.StatusNotFound},
		{"2025-04-01 00:00 UTC", "", exit.StatusNotFound},
		{"2025-03-30 02:30 Europe/Vienna", "", exit.Failed}, // clocks were put forward
		{"2025-03-30 05:00", "", exit.Failed},               // whose clock?
	} {
		got, err := ask("192.0.2.9 " + c.time)
		if clients(got) != c.who || exit.Code(err) != c.code {
			t.Errorf("at %s: status %d, %v, client %q, want status %d and client %q\n%s",
				c.time, exit.Code(err), err, clients(got), c.code, c.who, got)
		}
	}
	got, err := ask("-zone Australia/Sydney -json 192.0.2.9 2025-03-30 16:00")
	if err != nil || !strings.Contains(got, `"from":"2025-03-30T16:00:00+11:00"`) || clients(got) != "4" {
		t.Errorf("in the zone of the flag: %v\n%s", err, got)
	}

	// The oldest file was kept for long enough, and removed. Nobody is told that nobody had it.
	if err := os.Remove(oldest); err != nil {
		t.Fatal(err)
	}
	for at, code := range map[string]int{"2025-03-29T08:00:00Z": exit.StatusCannotAsk, "2025-03-30T03:00:00Z": 0} {
		if _, err := ask("192.0.2.9 " + at); exit.Code(err) != code {
			t.Errorf("without the oldest file, at %s: %v", at, err)
		}
	}
	// A damaged file is named, and nothing is said for sure.
	if err := os.WriteFile(path+".2.gz", []byte("no gzip"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := ask("192.0.2.9 2025-03-30T03:00:00Z"); exit.Code(err) != exit.StatusCannotAsk ||
		!strings.Contains(err.Error(), ".2.gz") || clients(got) != "3" {
		t.Errorf("with a damaged file: %v\n%s", err, got)
	}
}

func TestTimesOfPeople(t *testing.T) {
	vienna, err := time.LoadLocation("Europe/Vienna")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"2026-11-29T08:00:00Z":                 "2026-11-29T08:00:00Z",
		"2026-11-29T08:00:00.5Z":               "2026-11-29T08:00:00.5Z",
		"2026-11-29 08:00 +01:00":              "2026-11-29T07:00:00Z",
		"2026-11-29 08:00:30 +0100":            "2026-11-29T07:00:30Z",
		"2026-11-29 08:00 Europe/Vienna":       "2026-11-29T07:00:00Z",
		"2026-07-29T08:00 Europe/Vienna":       "2026-07-29T06:00:00Z",
		"2026-11-29 08:00:00.25 UTC":           "2026-11-29T08:00:00.25Z",
		"2026-11-29 08:00":                     "no time zone",
		"2026-10-25 02:30 Europe/Vienna":       "was twice",
		"2026-10-25 02:30 +02:00":              "2026-10-25T00:30:00Z",
		"2026-03-29 02:30 Europe/Vienna":       "there was no",
		"2026-04-05 01:45 Australia/Lord_Howe": "was twice",
		"2026-11-29 08:00 Local":               "no time zone",
		"2026-11-29 08:00 CET/Nowhere":         "no time zone",
		"2026-11-29":                           "is not a time",
		"29.11.2026 08:00 UTC":                 "is not a time",
		"yesterday":                            "is not a time",
	} {
		got, err := parseTime(text, nil)
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", text, err, want)
			}
		} else if s := got.UTC().Format(time.RFC3339Nano); s != want {
			t.Errorf("%s is %s, want %s", text, s, want)
		}
	}
	if got, err := parseTime("2026-11-29 08:00", vienna); err != nil || got.UTC().Hour() != 7 {
		t.Errorf("in the zone of the flag it is %v, %v", got, err)
	}
}
