package leaselog

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// day is the day of the history; clock times below are of it.
var day = time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)

func at(clock string) time.Time {
	t, err := time.Parse("15:04", clock)
	if err != nil {
		panic(err)
	}
	return day.Add(time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute)
}

// said makes the line of an event of a client, which is a hardware address, at an interface.
func said(clock, event, client, place, start, expires string) string {
	end := "null"
	if expires != "" {
		end = `"` + at(expires).Format(time.RFC3339) + `"`
	}
	where := ""
	if place != "" {
		where = `"interface":"` + place + `",`
	}
	return fmt.Sprintf(`{"time":%q,"event":%q,"address":"192.0.2.9","subnet":1,"hw_type":1,"hw_address":%q,"ipv6_source":"",%s"start":%q,"expires":%s}`,
		at(clock).Format(time.RFC3339Nano), event, client, where, at(start).Format(time.RFC3339), end) + "\n"
}

// told is tenures in short: client, place, from, to, end.
func told(h History) (all []string) {
	for _, t := range h.Tenures {
		to := "never"
		if !t.To.IsZero() {
			to = t.To.Format("15:04")
		}
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s-%s %s %s", t.HWAddress, t.Interface, t.From.Format("15:04"), to, t.End, t.By)))
	}
	return all
}

func TestTenures(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		want  []string
	}{
		"renewed, and bound until it ends": {
			[]string{said("08:00", "allocated", "a", "e", "08:00", "09:00"), said("08:30", "renewed", "a", "e", "08:00", "19:30")},
			[]string{"a e 08:00-19:30 bound"},
		},
		"for ever": {[]string{said("08:00", "allocated", "a", "e", "08:00", "")}, []string{"a e 08:00-never bound"}},
		"the line about its end is late": {
			[]string{said("08:00", "allocated", "a", "e", "08:00", "09:00"), said("09:05", "expired", "a", "", "08:00", "09:00")},
			[]string{"a e 08:00-09:00 expired"},
		},
		"no line about its end": {
			[]string{said("08:00", "allocated", "a", "e", "08:00", "09:00")},
			[]string{"a e 08:00-09:00 expired"},
		},
		"given back, and got again": {
			[]string{said("08:00", "allocated", "a", "e", "08:00", "09:00"), said("08:10", "released", "a", "e", "08:00", "08:10"), said("08:20", "reused", "a", "e", "08:20", "09:20")},
			[]string{"a e 08:00-08:10 released", "a e 08:20-09:20 expired"},
		},
		"a quarantine": {
			[]string{said("08:00", "allocated", "a", "e", "08:00", "09:00"), said("08:01", "declined", "a", "e", "08:00", "10:00"), said("10:00", "reclaimed", "a", "", "08:00", "10:00"), said("10:01", "allocated", "b", "e", "10:01", "11:00")},
			[]string{"a e 08:00-08:01 declined", "b e 10:01-11:00 expired"},
		},
		"moved": {
			[]string{said("08:00", "allocated", "a", "e", "08:00", "09:00"), said("08:30", "renewed", "a", "f", "08:00", "09:30"), said("08:40", "renewed", "a", "", "08:00", "09:40")},
			[]string{"a e 08:00-08:30 moved", "a f 08:30-09:40 expired"},
		},
		"the log begins within a lease": {
			[]string{said("08:30", "renewed", "a", "e", "07:00", "09:00"), said("08:40", "released", "a", "e", "07:00", "08:40")},
			[]string{"a e 07:00-08:40 released"},
		},
		"the log begins with its end": {
			[]string{said("08:40", "released", "a", "e", "07:00", "08:40"), said("09:00", "allocated", "b", "e", "09:00", "10:00")},
			[]string{"a e 07:00-08:40 released", "b e 09:00-10:00 expired"},
		},
		"lines are missing": {
			[]string{said("08:00", "allocated", "a", "e", "08:00", "09:00"), said("08:30", "allocated", "b", "e", "08:30", "09:30"), said("11:00", "renewed", "c", "e", "08:45", "12:00")},
			[]string{"a e 08:00-08:30 replaced", "b e 08:30-09:30 expired", "c e 09:30-12:00 bound"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			write(t, path, strings.Join(c.lines, ""))
			h, err := ReadHistory(t.Context(), path, netip.MustParseAddr("192.0.2.9"), at("11:30"))
			if err != nil {
				t.Fatal(err)
			}
			if got := told(h); !slices.Equal(got, c.want) {
				t.Errorf("it tells\n%q, want\n%q", got, c.want)
			}
		})
	}
}

func TestFourClientsInRotatedFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	other := strings.ReplaceAll(said("07:00", "allocated", "x", "e", "07:00", "23:00"), "192.0.2.9", "192.0.2.90")
	zip := func(name, content string) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		write(t, name, b.String())
	}
	older := other + said("08:00", "allocated", "a", "e", "08:00", "12:00") + said("08:30", "released", "a", "e", "08:00", "08:30")
	zip(path+".2.gz", older)
	write(t, path+".1", said("09:00", "allocated", "b", "e", "09:00", "12:00")+said("09:30", "released", "b", "e", "09:00", "09:30"))
	third := said("10:00", "allocated", "c", "e", "10:00", "12:00")
	write(t, path+"-20261129T110000.000Z", third)
	zip(path+"-20261129T110000.000Z.gz", third) // it was being compressed at a crash
	write(t, path+"-20261129T110000.000Z.gz.tmp", "unfinished")
	write(t, path+"s", said("06:00", "allocated", "of another log", "e", "06:00", "12:00"))
	write(t, path, said("11:00", "released", "c", "e", "10:00", "11:00")+`{"time":"2026-11-29T11:10:00Z","address":"192.0.2.9","even`+"\n"+said("11:20", "allocated", "d", "e", "11:20", "23:00"))
	for _, name := range []string{path + ".2.gz", path + ".1"} { // the numbers count backwards
		if err := os.Chtimes(name, day, day); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nothing", path+".3"); err != nil { // as of a file that has gone since the directory was read
		t.Fatal(err)
	}
	h, err := ReadHistory(t.Context(), path, netip.MustParseAddr("192.0.2.9"), at("11:30"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a e 08:00-08:30 released", "b e 09:00-09:30 released", "c e 10:00-11:00 released", "d e 11:20-23:00 bound"}
	if got := told(h); !slices.Equal(got, want) || h.Broken != 1 || !h.Begins.Equal(at("07:00")) {
		t.Errorf("it tells\n%q, %d broken lines, since %v; want\n%q", got, h.Broken, h.Begins, want)
	}
	for clock, want := range map[string]string{"07:59": "", "08:00": "a", "08:30": "", "09:15": "b", "10:59": "c", "11:00": "", "12:00": "d"} {
		got := ""
		for _, tenure := range h.Tenures {
			if tenure.Covers(at(clock)) {
				got += tenure.HWAddress
			}
		}
		if got != want {
			t.Errorf("at %s %q has it, want %q", clock, got, want)
		}
	}
	// What cannot be read is named, and the rest is told.
	write(t, path+".2.gz", "no gzip")
	if h, err := ReadHistory(t.Context(), path, netip.MustParseAddr("192.0.2.9"), at("11:30")); err == nil || !strings.Contains(err.Error(), "log.2.gz") || len(h.Tenures) != 3 {
		t.Errorf("%v, and it tells %q", err, told(h))
	}
	if _, err := ReadHistory(t.Context(), filepath.Join(dir, "none"), netip.MustParseAddr("192.0.2.9"), day); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of no log: %v", err)
	}
}
