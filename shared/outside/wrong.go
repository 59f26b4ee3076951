package outside

// Wrong is a fault in what a program has sent. The zero value, [None], is no fault. A daemon counts
// everything that it does not accept under one of them.
type Wrong uint8

// What can be wrong.
const (
	None Wrong = iota

	// With the connection, which is closed then.
	NoHello
	OtherVersion
	TooLong
	Malformed
	CutOff
	Flood
	Stuck

	// With a record, which has no effect then.
	UnknownKind
	Nobody
	Twice
	Late
	NoVerdict
	UnknownClass
	UnknownPool
	BadOption
	AddressOutside
	AddressTaken

	// WrongCount is their number, with None.
	WrongCount = iota
)

var wrongs = [WrongCount]struct{ label, meaning string }{
	None:           {"none", "nothing"},
	NoHello:        {"no_hello", "no hello within five seconds, or another record before it"},
	OtherVersion:   {"version", "a record of another version of the layout"},
	TooLong:        {"too_long", "a record longer than a program may send"},
	Malformed:      {"malformed", "a record whose lengths do not agree"},
	CutOff:         {"cut_off", "the connection ended within a record"},
	Flood:          {"flood", "far more records than were asked for"},
	Stuck:          {"stuck", "the program does not read what it is sent"},
	UnknownKind:    {"kind", "a record of a kind that no program sends"},
	Nobody:         {"nobody", "an answer to a question that was never asked, or done with events that were never told"},
	Twice:          {"twice", "a second answer to one question"},
	Late:           {"late", "an answer after the time for it"},
	NoVerdict:      {"no_verdict", "an answer without a verdict, or with one that is not known"},
	UnknownClass:   {"class", "an answer with a class that is not marked in the configuration"},
	UnknownPool:    {"pool", "an answer with a pool that the client's subnet does not have"},
	BadOption:      {"option", "an answer with an option that is not to be set"},
	AddressOutside: {"address_outside", "an address in no pool of the client's subnet"},
	AddressTaken:   {"address_taken", "an address that another client has, or that is reserved for one"},
}

// Label is the name in metrics.
func (w Wrong) Label() string { return wrongs[w].label }

// Error returns the meaning.
func (w Wrong) Error() string { return wrongs[w].meaning }

// Closes reports whether a daemon closes the connection for it.
func (w Wrong) Closes() bool { return w >= NoHello && w <= Stuck }
