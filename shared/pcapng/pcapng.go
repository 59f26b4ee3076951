// Package pcapng writes UDP datagrams as a capture that Wireshark reads, with a comment for each,
// and reads those of a capture.
//
// The format is that of draft-ietf-opsawg-pcapng: a section header, an interface description for
// each name, and enhanced packet blocks. The datagrams get the IP and UDP headers that they had on
// the wire, as far as their addresses tell.
package pcapng

import (
	"encoding/binary"
	"io"
	"net/netip"
	"slices"
	"time"
)

// Block types, options and the link type (draft-ietf-opsawg-pcapng sections 4.1 to 4.3,
// draft-ietf-opsawg-pcaplinktype section 2.2.1).
const (
	sectionHeader        = 0x0a0d0d0a
	interfaceDescription = 1
	enhancedPacket       = 6

	optEnd          = 0
	optComment      = 1
	optApplication  = 4 // of a section header
	optName         = 2 // of an interface
	optResolution   = 9 // of an interface
	nanoseconds     = 9 // a resolution: 10 to the power of -9 s
	byteOrder       = 0x1a2b3c4d
	rawIP           = 101 // packets begin with an IPv4 or IPv6 header
	sectionOfAnyEnd = 0xffff_ffff_ffff_ffff
)

const (
	header4, header6, headerUDP = 20, 40, 8
	protocolUDP                 = 17
	hops                        = 64 // of the IP header; what it was is not known
	maxComment                  = 0xffff
)

// Packet is a UDP datagram of a capture.
type Packet struct {
	Interface string // name of the interface in the capture
	Time      time.Time
	From, To  netip.AddrPort // IPv4 if To is
	Payload   []byte
	// Length is the octets of the whole payload, if Payload is only its beginning.
	Length  int
	Comment string
}

// Writer writes a capture. Each packet is one call of the underlying Write.
type Writer struct {
	w          io.Writer
	interfaces []string
	buf        []byte
}

// NewWriter begins a capture. application names the program that makes it.
func NewWriter(w io.Writer, application string) (*Writer, error) {
	p := &Writer{w: w}
	start := p.begin(sectionHeader)
	p.buf = binary.LittleEndian.AppendUint32(p.buf, byteOrder)
	p.buf = binary.LittleEndian.AppendUint16(p.buf, 1) // version 1.0
	p.buf = binary.LittleEndian.AppendUint16(p.buf, 0)
	p.buf = binary.LittleEndian.AppendUint64(p.buf, sectionOfAnyEnd)
	p.option(optApplication, []byte(application))
	p.option(optEnd, nil)
	p.end(start)
	return p, p.flush()
}

// Write adds a packet.
func (p *Writer) Write(packet *Packet) error {
	id := slices.Index(p.interfaces, packet.Interface)
	if id < 0 {
		id = len(p.interfaces)
		p.interfaces = append(p.interfaces, packet.Interface)
		start := p.begin(interfaceDescription)
		p.buf = binary.LittleEndian.AppendUint16(p.buf, rawIP)
		p.buf = append(p.buf, 0, 0, 0, 0, 0, 0) // reserved, and no limit of the length
		p.option(optName, []byte(packet.Interface))
		p.option(optResolution, []byte{nanoseconds})
		p.option(optEnd, nil)
		p.end(start)
	}
	start := p.begin(enhancedPacket)
	at := uint64(packet.Time.UnixNano())
	missing := max(0, packet.Length-len(packet.Payload))
	p.buf = binary.LittleEndian.AppendUint32(p.buf, uint32(id))
	p.buf = binary.LittleEndian.AppendUint32(p.buf, uint32(at>>32))
	p.buf = binary.LittleEndian.AppendUint32(p.buf, uint32(at))
	lengths := len(p.buf)
	p.buf = append(p.buf, 0, 0, 0, 0, 0, 0, 0, 0)
	first := len(p.buf)
	p.buf = appendDatagram(p.buf, packet, missing)
	captured := len(p.buf) - first
	binary.LittleEndian.PutUint32(p.buf[lengths:], uint32(captured))
	binary.LittleEndian.PutUint32(p.buf[lengths+4:], uint32(captured+missing))
	p.pad()
	if packet.Comment != "" {
		p.option(optComment, []byte(packet.Comment[:min(len(packet.Comment), maxComment)]))
	}
	p.option(optEnd, nil)
	p.end(start)
	return p.flush()
}

// begin begins a block and returns where.
func (p *Writer) begin(kind uint32) int {
	start := len(p.buf)
	p.buf = binary.LittleEndian.AppendUint32(p.buf, kind)
	p.buf = append(p.buf, 0, 0, 0, 0)
	return start
}

// end sets the lengths of the block that began at start.
func (p *Writer) end(start int) {
	n := uint32(len(p.buf) - start + 4)
	binary.LittleEndian.PutUint32(p.buf[start+4:], n)
	p.buf = binary.LittleEndian.AppendUint32(p.buf, n)
}

func (p *Writer) option(code uint16, value []byte) {
	p.buf = binary.LittleEndian.AppendUint16(p.buf, code)
	p.buf = binary.LittleEndian.AppendUint16(p.buf, uint16(len(value)))
	p.buf = append(p.buf, value...)
	p.pad()
}

// pad fills up to 32 bits. All blocks begin at such an offset.
func (p *Writer) pad() {
	for len(p.buf)%4 != 0 {
		p.buf = append(p.buf, 0)
	}
}

func (p *Writer) flush() error {
	_, err := p.w.Write(p.buf)
	p.buf = p.buf[:0]
	return err
}

// appendDatagram appends a datagram with its IP and UDP headers. missing octets of its payload are
// not there.
func appendDatagram(b []byte, p *Packet, missing int) []byte {
	from, to := p.From.Addr().Unmap(), p.To.Addr().Unmap()
	length := headerUDP + len(p.Payload) + missing
	start := len(b)
	var pseudo uint32
	if to.Is4() || from.Is4() {
		source, destination := as4(from), as4(to)
		b = append(b, 0x45, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(header4+length))
		b = append(b, 0, 0, 0x40, 0, hops, protocolUDP, 0, 0) // do not fragment
		b = append(append(b, source[:]...), destination[:]...)
		binary.BigEndian.PutUint16(b[start+10:], ^fold(sum(0, b[start:])))
		pseudo = sum(0, b[start+12:])
	} else {
		source, destination := from.As16(), to.As16()
		b = append(b, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(length))
		b = append(b, protocolUDP, hops)
		b = append(append(b, source[:]...), destination[:]...)
		pseudo = sum(0, b[start+8:])
	}
	udp := len(b)
	b = binary.BigEndian.AppendUint16(b, p.From.Port())
	b = binary.BigEndian.AppendUint16(b, p.To.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	b = append(append(b, 0, 0), p.Payload...)
	check := ^fold(sum(pseudo+protocolUDP+uint32(length), b[udp:]))
	if check == 0 {
		check = 0xffff // RFC 768: 0 says that there is no checksum
	}
	binary.BigEndian.PutUint16(b[udp+6:], check)
	return b
}

// as4 returns an IPv4 address, the unspecified one for any other.
func as4(a netip.Addr) [4]byte {
	if !a.Is4() {
		return [4]byte{}
	}
	return a.As4()
}

// sum adds 16-bit words for the checksum of RFC 1071. A datagram of 64 KiB cannot overflow it.
func sum(to uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		to += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		to += uint32(b[0]) << 8
	}
	return to
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
