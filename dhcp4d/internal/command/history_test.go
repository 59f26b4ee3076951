package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/exit"
)

func TestHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases.json")
	log := `{"time":"2026-03-01T08:00:00Z","event":"allocated","address":"192.0.2.9","subnet":1,"client_id":"ff:01","hw_type":1,"hw_address":"02:00:00:00:00:01","ipv6_source":"2001:db8::1","interface":"eth1","relays":[{"link_address":"2001:db8:1::1","peer_address":"fe80::1","interface_id":"70:37","remote_id":"00:01"}],"start":"2026-03-01T08:00:00Z","expires":"2026-03-01T09:00:00Z"}
{"time":"2026-03-01T08:30:00Z","event":"released","by":"API","address":"192.0.2.9","subnet":1,"client_id":"ff:01","hw_type":1,"ipv6_source":"","start":"2026-03-01T08:00:00Z","expires":"2026-03-01T08:30:00Z"}
{"time":"2026-03-01T10:00:00Z","event":"allocated","address":"192.0.2.9","subnet":1,"hw_type":1,"hw_address":"02:00:00:00:00:02","ipv6_source":"","start":"2026-03-01T10:00:00Z","expires":null}
`
	if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"DHCP4D_LEASELOG_PATH=" + path, "DHCP4D_LEASELOG_ROTATE_SIZE=1M", "DHCP4D_SUBNETS=not a document"}
	first := "2026-03-01T08:00:00Z  2026-03-01T08:30:00Z  released by API  ff:01, hw 02:00:00:00:00:01  2001:db8::1  " +
		"interface eth1, relay link-address 2001:db8:1::1 Interface-Id \"p7\" Remote-Id 00:01\n"
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
	if _, err := run(t, nil, "leases", "history", "192.0.2.9"); exit.Code(err) != exit.StatusCannotAsk || !strings.Contains(err.Error(), "goes to stdout") {
		t.Errorf("of a log that goes to standard output: %v", err)
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
