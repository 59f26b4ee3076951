package dhcp6

import (
	"encoding/binary"
	"iter"
)

// MaxOptions bounds the option instances of a message, and those of each relay level. It makes
// every look-up cheap, whatever a sender does. About 150 codes are defined.
const MaxOptions = 255

// Cut slices the first option, header included, off a row of options. A row is anything that
// consists of code, length and data in 2, 2 and length octets, such as the suboptions of option 17.
// ok reports whether the row begins with a whole option; if not, rest is nil, so that a loop over
// len(rest) ends.
//
//	for row := b; len(row) > 0; {
//		code, option, rest, ok := dhcp6.Cut(row)
//		...
//		row = rest
//	}
//
// Slices in variables stay in registers. An iterator with methods lives in memory, and made the way
// of a response twice as long.
func Cut(row []byte) (code Code, option, rest []byte, ok bool) {
	if len(row) < optionHeader {
		return 0, nil, nil, false
	}
	end := optionHeader + int(binary.BigEndian.Uint16(row[2:]))
	if end > len(row) {
		return 0, nil, nil, false
	}
	return optionCode(row, 0), row[:end:end], row[end:], true
}

// Options yields the codes and data of the options of a row, see [Cut], up to one that runs past
// the end. In what [Packet.Parse] has accepted none does.
func Options(row []byte) iter.Seq2[Code, []byte] {
	return func(yield func(Code, []byte) bool) {
		for {
			code, option, rest, ok := Cut(row)
			if !ok || !yield(code, option[optionHeader:]) {
				return
			}
			row = rest
		}
	}
}

// optionEnd returns where the option at an offset ends. It is 0 where no option is, or one that
// runs past the end of b.
func optionEnd(b []byte, at int) int {
	if len(b)-at < optionHeader {
		return 0
	}
	end := at + optionHeader + optionLength(b, at)
	if end > len(b) {
		return 0
	}
	return end
}

func optionCode(b []byte, at int) Code { return Code(binary.BigEndian.Uint16(b[at:])) }

func optionLength(b []byte, at int) int { return int(binary.BigEndian.Uint16(b[at+2:])) }

// optionData returns the data of the option whose header is at the offset. It is nil where the
// offset says absent, and where the data is shorter than least.
func optionData(b []byte, at uint16, least int) []byte {
	if at == 0 {
		return nil
	}
	start := int(at) + optionHeader
	end := start + optionLength(b, int(at))
	if end-start < least {
		return nil
	}
	return b[start:end:end]
}
