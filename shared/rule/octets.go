package rule

import (
	"strconv"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// MaxValue is the longest value of an option that rules put into octets, in octets.
const MaxValue = 255

// Overwrite reads the argument OFFSET = EXPRESSION of an action that replaces octets by as many
// others.
func (a Argument) Overwrite() (at int, value *expression.Value, wrong *Mistake) {
	offset, rest := a.Cut()
	sign, text := rest.Cut()
	n, err := strconv.ParseUint(offset.Text, 10, 16)
	switch {
	case err != nil:
		return 0, nil, offset.Fail(0, "%s is no offset; count octets from 0", quote(offset.Text))
	case sign.Text != "=" || text.Text == "":
		return 0, nil, rest.Fail(0, "octets has no = and no expression behind it; write octets OFFSET = EXPRESSION")
	}
	value, wrong = text.Value()
	return int(n), value, wrong
}

// SetOption4 returns the octets of a DHCPv4 message in which an option has a new value. An empty
// value removes the option. The message does not change if its options cannot be parsed, or if the
// value is longer than [MaxValue].
func SetOption4(o *hook.Octets, b []byte, code byte, value []byte) []byte {
	fields, n := dhcp4.OptionFields(b)
	if n == 0 || len(value) > MaxValue {
		return b
	}
	made, written, found := o.Piece[:0], len(value) == 0, false
	at, end := fields[0].Start, fields[0].End
	for more := true; more; {
		start, next, ok := dhcp4.FindOption(b, dhcp4.Field{Start: at, End: end}, code)
		if !ok {
			return b
		}
		budget.Spend(start - at)
		made = append(made, b[at:start]...)
		if !written {
			made, written = dhcp4.AppendOption(made, code, value), true
		}
		at, more = next, next > start
		found = found || more
	}
	o.Piece = made
	for _, f := range fields[1:n] {
		for {
			from, to, ok := dhcp4.FindOption(b, f, code)
			if !ok || from == to {
				break
			}
			b = o.Replace(b, from, to, pads[:to-from])
			f.Start = to
		}
	}
	if found || len(value) > 0 {
		b = o.Replace(b, fields[0].Start, at, made)
	}
	return b
}

// pads are pad options, which replace an option in a field of fixed length.
var pads [2 + MaxValue]byte

// SetOption6 returns the octets of the DHCPv6 datagram that p is a view of, with a new value of an
// option in its innermost message. An empty value removes the option. The datagram does not change
// if it would be too long, or if the value is longer than [MaxValue]. P must not be used
// afterwards.
func SetOption6(o *hook.Octets, b []byte, p *dhcp6.Packet, code dhcp6.Code, value []byte) []byte {
	m := p.Message()
	options := m.Options()
	if len(value) > MaxValue || len(b)+4+len(value) > dhcp6.MaxDatagram {
		return b
	}
	made, written := o.Piece[:0], len(value) == 0
	for row := options; len(row) > 0; {
		c, option, rest, _ := dhcp6.Cut(row)
		budget.Spend(len(option))
		switch row = rest; {
		case c != code:
			made = append(made, option...)
		case !written:
			made, written = dhcp6.AppendOption(made, code, value), true
		}
	}
	if !written {
		made = dhcp6.AppendOption(made, code, value)
	}
	o.Piece = made
	end := m.Offset() + len(m.Bytes())
	b = o.Replace(b, end-len(options), end, made)
	p.ResizeMessage(b, len(made)-len(options))
	return b
}
