package leaselog

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
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

// A line about a change that no query has caused has no relays, but the Remote-Id of the lease.
func TestTheRemoteIDTellsWhereALeaseWasThatOnlyEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	line := said("08:40", "expired", "a", "", "07:00", "08:40")
	write(t, path, strings.Replace(line, `"start"`, `"remote_id":"00:00:0d:e9:6c:69:6e:65","start"`, 1))
	h, err := ReadHistory(t.Context(), path, netip.MustParseAddr("192.0.2.9"), at("11:30"))
	if err != nil || len(h.Tenures) != 1 || h.Tenures[0].Where() != `Remote-Id 3561:line` {
		t.Errorf("%+v, %v\n%s", h.Tenures, err, line)
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

// Lines of renewals are put together as they are read. The history is the same as that of all
// lines, also if parts of files are there twice.
func TestRenewalsArePutTogether(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.9")
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same in each run
	for round := range 200 {
		dir := t.TempDir()
		path := filepath.Join(dir, "log")
		var texts []string
		now, start, expires, who, place, bound := day, day, day, 0, 0, false
		for range 60 {
			now = now.Add(time.Duration(1+random.IntN(40)) * time.Minute)
			event := []string{"renewed", "renewed", "renewed", "renewed", "released", "expired", "allocated"}[random.IntN(7)]
			switch {
			case event == "allocated" || !bound:
				event, start, who, bound = "allocated", now, random.IntN(4), true
				expires = now.Add(time.Hour)
			case event == "renewed":
				expires = now.Add(time.Hour)
				if random.IntN(10) == 0 {
					place++
				}
			default:
				bound = false
			}
			texts = append(texts, fmt.Sprintf(`{"time":%q,"event":%q,"address":"192.0.2.9","hw_type":1,"hw_address":"%d","interface":"e%d","start":%q,"expires":%q}`+"\n",
				now.Format(time.RFC3339Nano), event, who, place, start.Format(time.RFC3339), expires.Format(time.RFC3339)))
		}
		var all []line
		for _, text := range texts {
			var l line
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				t.Fatal(err)
			}
			l.Latest = l.Time
			all = append(all, l)
		}
		cut := 1 + random.IntN(len(texts)-1)
		from := random.IntN(cut)
		write(t, path+".1", strings.Join(texts[:cut], ""))
		write(t, path+".2", strings.Join(texts[from:from+random.IntN(cut-from+1)], "")) // a copy of a part
		write(t, path, strings.Join(texts[cut:], ""))
		h, err := ReadHistory(t.Context(), path, a, now)
		if err != nil {
			t.Fatal(err)
		}
		if want := told(History{Tenures: tenures(all, now)}); !slices.Equal(told(h), want) {
			t.Fatalf("round %d, copy from %d, cut at %d:\n%q, want\n%q", round, from, cut, told(h), want)
		}
	}
}

// A client that renews for years costs the reader of its history no memory.
func TestYearsOfRenewalsAreReadInLittleMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var text strings.Builder
	const renewals = 100_000
	for i := range renewals {
		now := day.Add(time.Duration(i) * time.Minute)
		event := "renewed"
		if i == 0 {
			event = "allocated"
		}
		fmt.Fprintf(&text, `{"time":%q,"event":%q,"address":"192.0.2.9","hw_type":1,"hw_address":"02","start":%q,"expires":%q}`+"\n",
			now.Format(time.RFC3339Nano), event, day.Format(time.RFC3339), now.Add(2*time.Minute).Format(time.RFC3339))
	}
	write(t, path, text.String())
	var h History
	var lines []line
	if err := h.read(t.Context(), path, netip.MustParseAddr("192.0.2.9"), &lines); err != nil {
		t.Fatal(err)
	}
	if len(lines) != 1 {
		t.Errorf("%d lines are kept of %d", len(lines), renewals)
	}
	if got, want := tenures(lines, day.AddDate(1, 0, 0)), day.Add((renewals+1)*time.Minute); len(got) != 1 || !got[0].From.Equal(day) || !got[0].To.Equal(want) {
		t.Errorf("it tells %+v, want one until %v", got, want)
	}
}
