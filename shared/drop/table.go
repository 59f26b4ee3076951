package drop

import "fmt"

// Daemon is the set of daemons that can meet a reason.
type Daemon uint8

// The daemons; a reason may belong to both.
const (
	DHCP6D Daemon = 1 << iota
	DHCP4D

	both = DHCP6D | DHCP4D
)

// Row describes a reason.
type Row struct {
	Label   string // in metrics and logs
	Daemons Daemon // that can meet it
	Meaning string // in one line, for a person
}

// Table describes the reasons of a closed list by their numbers, beginning with the one that means
// that there is none.
type Table[R ~uint8] []Row

// Label returns the name of the reason in metrics and logs.
func (t Table[R]) Label(r R) string {
	if int(r) >= len(t) {
		return fmt.Sprintf("reason_%d", uint8(r))
	}
	return t[r].Label
}

// Meaning returns one line for a person.
func (t Table[R]) Meaning(r R) string {
	if int(r) >= len(t) {
		return "unknown reason"
	}
	return t[r].Meaning
}

// Of returns the reasons that a daemon can meet, in the order of the table.
func (t Table[R]) Of(d Daemon) []R {
	var rs []R
	for i := 1; i < len(t); i++ {
		if t[i].Daemons&d != 0 {
			rs = append(rs, R(i))
		}
	}
	return rs
}
