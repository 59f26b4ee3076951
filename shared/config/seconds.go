package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Seconds is a variable that is a duration in whole seconds.
type Seconds uint32

// SecondsKind is what [ParseSeconds] takes.
const SecondsKind = "a duration in whole seconds, from one second to 100 years, such as 3600, 90s, 1h30m or 7d"

// UnmarshalText takes what ParseSeconds takes.
func (s *Seconds) UnmarshalText(text []byte) error {
	n, ok := ParseSeconds(string(text))
	if !ok {
		return fmt.Errorf("%q is not %s", text, SecondsKind)
	}
	*s = Seconds(n)
	return nil
}

// Duration is the time that it stands for.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// ParseSeconds reads a duration of at least a second: 3600, 90s, 1h30m, 7d.
func ParseSeconds(s string) (uint32, bool) {
	const most = 100 * 366 * 24 * time.Hour
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		return uint32(n), n > 0 && n <= uint64(most/time.Second)
	}
	var days uint64
	if d, rest, found := strings.Cut(s, "d"); found {
		var err error
		if days, err = strconv.ParseUint(d, 10, 16); err != nil {
			return 0, false
		}
		s = rest
		if s == "" {
			s = "0s"
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > most || days > 36600 {
		return 0, false
	}
	d += time.Duration(days) * 24 * time.Hour
	return uint32(d / time.Second), d%time.Second == 0 && d > 0 && d <= most
}
