package dhcp6

import (
	"encoding/binary"
	"iter"
)

// Options walks options, or anything else that is a row of code, length and
// data in 2, 2 and length octets, such as the suboptions of option 17. It
// stops before an option that runs past b; in what [Packet.Parse] has accepted
// there is none.
func Options(b []byte) iter.Seq2[Code, []byte] {
	return func(yield func(Code, []byte) bool) {
		for len(b) >= optionHeader {
			next := optionHeader + optionLength(b, 0)
			if next > len(b) || !yield(optionCode(b, 0), b[optionHeader:next:next]) {
				return
			}
			b = b[next:]
		}
	}
}

func optionCode(b []byte, at int) Code { return Code(binary.BigEndian.Uint16(b[at:])) }

func optionLength(b []byte, at int) int { return int(binary.BigEndian.Uint16(b[at+2:])) }

// optionData is the content of the option whose header is at the offset, nil
// where the offset says absent or the content is shorter than least.
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
