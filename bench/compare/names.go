package compare

import "strings"

// The subjects that can be measured.
const (
	Ours        = "ours"
	OursKeys    = "ours+keys"    // with keys for the IPC
	Before      = "before"       // other builds of ours, from the directory Options.Before
	OursJournal = "ours+journal" // on the journal, whatever Options.Store says
	OursPebble  = "ours+pebble"  // on Pebble, whatever Options.Store says
	// On PostgreSQL databases that Options.Postgres names: one dhcp4d, two, and Kea.
	OursPostgres  = "ours+postgres"
	OursPostgres2 = "ours+2postgres"
	// With a program outside that is asked about every query, or whose verdicts are known.
	OursAsked   = "ours+asked"
	OursKnown   = "ours+known"
	OursRules   = "ours+rules" // with a rule at each of three points of dhcp4d
	KeaPostgres = "kea+postgres"
	Kea         = "kea"          // memfile, log level WARN
	KeaOther    = "kea+other"    // other builds of Kea's, from the directory Options.KeaOther
	Bare        = "bare"         // moves datagrams and does nothing else
	BareOffload = "bare+offload" // the same with segmentation offload between its halves
)

var subjects = []string{Ours, OursKeys, Before, OursJournal, OursPebble, OursPostgres, OursPostgres2,
	OursAsked, OursKnown, OursRules, Kea, KeaPostgres, KeaOther, Bare, BareOffload}

// hooked are those with hooks, which other builds can have too.
var hooked = []string{OursAsked, OursKnown, OursRules}

// asBefore returns the name of what has the other builds in place of ours.
func asBefore(name string) string { return Before + strings.TrimPrefix(name, Ours) }

// likeOurs returns the name of what has our builds, with the same hooks.
func likeOurs(name string) string {
	if rest, ok := strings.CutPrefix(name, Before); ok {
		return Ours + rest
	}
	return name
}

// ours reports whether the daemons are ours, in any configuration.
func ours(name string) bool { return strings.HasPrefix(likeOurs(name), Ours) }

// keas reports whether the daemons are Kea's.
func keas(name string) bool { return strings.HasPrefix(name, Kea) }

// onPostgres reports whether the leases are in a PostgreSQL database.
func onPostgres(name string) bool { return strings.HasSuffix(name, "postgres") }

func moves(name string) bool { return name == Bare || name == BareOffload }
