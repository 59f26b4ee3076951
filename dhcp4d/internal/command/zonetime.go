package command

import (
	"fmt"
	"strings"
	"time"
)

// zoneOf is the time zone with a name of the IANA database.
func zoneOf(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return nil, fmt.Errorf("there is no time zone %q on this host; name one such as Europe/Vienna", name)
	}
	return zone, nil
}

// parseTime reads a time of a person. Zone is that of a time that has none; if it is nil, such a
// time is an error: whoever asks who had an address must not be an hour off.
func parseTime(text string, zone *time.Location) (time.Time, error) {
	days := []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04"}
	for _, day := range days {
		for _, offset := range []string{"Z07:00", " Z07:00", "Z0700", " Z0700"} {
			if t, err := time.Parse(day+offset, text); err == nil {
				return t, nil
			}
		}
	}
	bare := text
	if before, name, ok := cutLast(text, " "); ok && !strings.Contains(name, ":") {
		named, err := zoneOf(name)
		if err != nil {
			return time.Time{}, err
		}
		bare, zone = before, named
	}
	for _, day := range days {
		if _, err := time.Parse(day, bare); err != nil {
			continue
		}
		if zone == nil {
			return time.Time{}, fmt.Errorf("%q has no time zone; add one, such as Z, +01:00 or Europe/Vienna, or "+
				"give -zone", text)
		}
		t, err := time.ParseInLocation(day, bare, zone)
		if err != nil {
			return time.Time{}, err
		}
		layout := day // with the fractions of a second that the text has
		if n := len(bare) - len(day); n > 1 {
			layout += "." + strings.Repeat("0", n-1)
		}
		if t.Format(layout) != bare {
			return time.Time{}, fmt.Errorf("there was no %s in %v, because clocks were put forward", bare, zone)
		}
		for _, shift := range []time.Duration{time.Hour, -time.Hour, time.Hour / 2, -time.Hour / 2} {
			if t.Add(shift).Format(layout) == bare {
				return time.Time{}, fmt.Errorf("%s was twice in %v, because clocks were put back; give the offset, "+
					"such as +01:00", bare, zone)
			}
		}
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time such as 2026-11-29T08:00:00Z or "+
		`"2026-11-29 08:00 Europe/Vienna"`, text)
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
