package ipc

import "encoding/binary"

// SignatureLen is what authentication adds to a datagram that carries a query or an answer, in
// octets: a short trailer.
const SignatureLen = shortLen

// Every trailer begins with its option code, its length, the protocol, which is ours, the algorithm
// and the replay detection method. The last tagLen octets are the tag, which covers all octets of
// the datagram before it.
const (
	headHMAC     = "\x00\x0b\x00\x2b\xfe\x01\x00"
	headSession  = "\x00\x0b\x00\x2b\xfe\x02\x00"
	headGreeting = "\x00\x0b\x00\x48\xfe\x03\x00"
	headLen      = len(headHMAC)

	algorithmHMAC     = 1
	algorithmSession  = 2
	algorithmGreeting = 3

	tagLen = 16
)

// Offsets in a short trailer, which the algorithms HMAC and session have in common.
const (
	atSequence = 7
	atKey      = 15
	atSender   = 19 // HMAC: the sender's id; session: the session's id
	atTime     = 27 // HMAC: Unix time; session: the receiver's clock
	shortLen   = 31 + tagLen
)

// short is the fields of a short trailer.
type short struct {
	sequence uint64
	key      uint32
	sender   uint64
	time     uint32
}

// append appends all of the trailer that stands before the tag.
func (s *short) append(dst []byte, head string) []byte {
	dst = append(dst, head...)
	dst = binary.BigEndian.AppendUint64(dst, s.sequence)
	dst = binary.BigEndian.AppendUint32(dst, s.key)
	dst = binary.BigEndian.AppendUint64(dst, s.sender)
	return binary.BigEndian.AppendUint32(dst, s.time)
}

// readShort reads the fields of a trailer of shortLen octets.
func readShort(b []byte) short {
	return short{
		sequence: binary.BigEndian.Uint64(b[atSequence:]),
		key:      binary.BigEndian.Uint32(b[atKey:]),
		sender:   binary.BigEndian.Uint64(b[atSender:]),
		time:     binary.BigEndian.Uint32(b[atTime:]),
	}
}

// Offsets in a greeting.
const (
	atFlags     = 7
	atGreetKey  = 8
	atFrom      = 12
	atTo        = 28
	atClock     = 44
	atEcho      = 52
	greetingLen = 60 + tagLen

	flagReady = 1 << 0
)

// greeting is the fields of a greeting.
type greeting struct {
	ready bool
	key   uint32
	from  Identity
	to    Identity // zero: not known
	clock uint64   // the sender's
	echo  uint64   // the receiver's clock, as the sender heard it last
}

// append appends all of the greeting that stands before the tag.
func (g *greeting) append(dst []byte) []byte {
	flags := byte(0)
	if g.ready {
		flags = flagReady
	}
	dst = append(dst, headGreeting...)
	dst = append(dst, flags)
	dst = binary.BigEndian.AppendUint32(dst, g.key)
	dst = append(dst, g.from[:]...)
	dst = append(dst, g.to[:]...)
	dst = binary.BigEndian.AppendUint64(dst, g.clock)
	return binary.BigEndian.AppendUint64(dst, g.echo)
}

// readGreeting reads the fields of a trailer of greetingLen octets.
func readGreeting(b []byte) greeting {
	return greeting{
		ready: b[atFlags]&flagReady != 0,
		key:   binary.BigEndian.Uint32(b[atGreetKey:]),
		from:  Identity(b[atFrom:]),
		to:    Identity(b[atTo:]),
		clock: binary.BigEndian.Uint64(b[atClock:]),
		echo:  binary.BigEndian.Uint64(b[atEcho:]),
	}
}

// Content returns a datagram without its trailer, if it has one. It does not check the trailer: the
// result is for traces only.
func Content(datagram []byte) []byte {
	if content, _, algorithm := cutTrailer(datagram); algorithm != 0 {
		return content
	}
	return datagram
}

// cutTrailer cuts a datagram into content and trailer, if it ends with one.
func cutTrailer(b []byte) (content, trailer []byte, algorithm byte) {
	for _, kind := range [...]struct {
		head      string
		length    int
		algorithm byte
	}{
		{headSession, shortLen, algorithmSession},
		{headHMAC, shortLen, algorithmHMAC},
		{headGreeting, greetingLen, algorithmGreeting},
	} {
		end := len(b) - kind.length
		if end >= 0 && string(b[end:end+headLen]) == kind.head {
			return b[:end:end], b[end:], kind.algorithm
		}
	}
	return nil, nil, 0
}
