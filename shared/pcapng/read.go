package pcapng

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"time"
)

// The bounds of what is read, and of what is kept.
const (
	maxBlock      = 1 << 24 // octets of a block or of a frame
	maxInterfaces = 1 << 12 // of a section
)

// The magic numbers of a pcap file (draft-ietf-opsawg-pcap section 4).
const (
	pcapMicroseconds = 0xa1b2c3d4
	pcapNanoseconds  = 0xa1b23c4d
)

// Link types (draft-ietf-opsawg-pcaplinktype section 2.2.1).
const (
	linkNull     = 0
	linkEthernet = 1
	linkLoop     = 108
	linkSLL      = 113
	linkIPv4     = 228
	linkIPv6     = 229
	linkSLL2     = 276
)

// ErrFormat is the error of what is neither pcap nor pcapng.
var ErrFormat = errors.New("neither pcap nor pcapng")

// Reader reads the UDP datagrams of a capture, in the format pcap or pcapng.
type Reader struct {
	r       *bufio.Reader
	order   binary.ByteOrder
	classic bool // pcap
	links   []link
	block   []byte
	skipped int
}

// link is an interface of the capture.
type link struct {
	kind uint16
	name string
	unit float64 // seconds of a tick of its times
}

// NewReader begins to read a capture. The error is [ErrFormat], or one of r.
func NewReader(r io.Reader) (*Reader, error) {
	p := &Reader{r: bufio.NewReader(r)}
	magic, err := p.r.Peek(4)
	if err != nil {
		return nil, fmt.Errorf("reading the beginning: %w", ErrFormat)
	}
	if binary.LittleEndian.Uint32(magic) == sectionHeader {
		return p, nil
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		unit := map[uint32]float64{pcapMicroseconds: 1e-6, pcapNanoseconds: 1e-9}[order.Uint32(magic)]
		if unit == 0 {
			continue
		}
		var header [24]byte
		if _, err := io.ReadFull(p.r, header[:]); err != nil {
			return nil, fmt.Errorf("reading the header: %w", err)
		}
		p.order, p.classic = order, true
		p.links = []link{{kind: uint16(order.Uint32(header[20:])), unit: unit}}
		return p, nil
	}
	return nil, ErrFormat
}

// Skipped is how many frames so far held no whole UDP datagram: other protocols, fragments, frames
// that were cut.
func (p *Reader) Skipped() int { return p.skipped }

// Next returns the next datagram, which is valid until Next is called again. The error is io.EOF at
// the end.
func (p *Reader) Next() (*Packet, error) {
	for {
		frame, from, at, err := p.frame()
		if err != nil {
			return nil, err
		}
		packet, ok := datagram(frame, from.kind)
		if !ok {
			p.skipped++
			continue
		}
		packet.Interface, packet.Time = from.name, at
		return packet, nil
	}
}

// frame returns the next frame, the interface that it was seen at, and when.
func (p *Reader) frame() ([]byte, *link, time.Time, error) {
	if p.classic {
		var header [16]byte
		if _, err := io.ReadFull(p.r, header[:]); err != nil {
			return nil, nil, time.Time{}, ended(err)
		}
		l := &p.links[0]
		seconds, parts := p.order.Uint32(header[:]), p.order.Uint32(header[4:])
		frame, err := p.octets(int64(p.order.Uint32(header[8:])))
		return frame, l, time.Unix(int64(seconds), int64(float64(parts)*l.unit*1e9)), err
	}
	for {
		kind, body, err := p.next()
		switch {
		case err != nil:
			return nil, nil, time.Time{}, err
		case kind == interfaceDescription && len(body) >= 8:
			if len(p.links) == maxInterfaces {
				return nil, nil, time.Time{}, fmt.Errorf("more than %d interfaces in a section", maxInterfaces)
			}
			p.links = append(p.links, p.describe(body))
		case kind == enhancedPacket && len(body) >= 20:
			id, n := p.order.Uint32(body), int64(p.order.Uint32(body[12:]))
			if uint64(id) >= uint64(len(p.links)) || n > int64(len(body)-20) {
				return nil, nil, time.Time{}, errors.New("a packet of an interface that is not described, " +
					"or longer than its block")
			}
			l := &p.links[id]
			ticks := uint64(p.order.Uint32(body[4:]))<<32 | uint64(p.order.Uint32(body[8:]))
			seconds, part := math.Modf(float64(ticks) * l.unit)
			return body[20 : 20+n], l, time.Unix(int64(seconds), int64(part*1e9)), nil
		}
	}
}

// next returns the next block of a pcapng capture.
func (p *Reader) next() (kind uint32, body []byte, err error) {
	var header [8]byte
	if _, err := io.ReadFull(p.r, header[:]); err != nil {
		return 0, nil, ended(err)
	}
	if binary.LittleEndian.Uint32(header[:]) == sectionHeader { // reads the same both ways
		magic, err := p.r.Peek(4)
		if err != nil {
			return 0, nil, fmt.Errorf("reading a section: %w", err)
		}
		switch {
		case binary.LittleEndian.Uint32(magic) == byteOrder:
			p.order = binary.LittleEndian
		case binary.BigEndian.Uint32(magic) == byteOrder:
			p.order = binary.BigEndian
		default:
			return 0, nil, ErrFormat
		}
		p.links = p.links[:0]
	}
	length := int64(p.order.Uint32(header[4:]))
	if length < 12 || length%4 != 0 {
		return 0, nil, fmt.Errorf("a block of %d octets", length)
	}
	if body, err = p.octets(length - 8); err != nil {
		return 0, nil, err
	}
	return p.order.Uint32(header[:]), body[:len(body)-4], nil
}

// octets reads so many octets.
func (p *Reader) octets(n int64) ([]byte, error) {
	if n > maxBlock {
		return nil, fmt.Errorf("a block or frame of %d octets, more than %d", n, maxBlock)
	}
	if int64(cap(p.block)) < n {
		p.block = make([]byte, n)
	}
	p.block = p.block[:n]
	if _, err := io.ReadFull(p.r, p.block); err != nil {
		return nil, fmt.Errorf("the capture is cut: %w", err)
	}
	return p.block, nil
}

// ended is the error of reading where something may begin.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return fmt.Errorf("the capture is cut: %w", err)
}

// describe reads an interface description.
func (p *Reader) describe(body []byte) link {
	l := link{kind: p.order.Uint16(body), unit: 1e-6}
	for options := body[8:]; len(options) >= 4; {
		code, n := p.order.Uint16(options), int(p.order.Uint16(options[2:]))
		padded := (n + 3) &^ 3
		if code == optEnd || 4+padded > len(options) {
			break
		}
		value := options[4 : 4+n]
		switch {
		case code == optName:
			l.name = string(value)
		case code == optResolution && n == 1 && value[0]&0x80 != 0:
			l.unit = math.Pow(2, -float64(value[0]&0x7f))
		case code == optResolution && n == 1:
			l.unit = math.Pow(10, -float64(value[0]))
		}
		options = options[4+padded:]
	}
	return l
}

// datagram finds the UDP datagram in a frame.
func datagram(frame []byte, kind uint16) (*Packet, bool) {
	header := 0 // octets before the IP header
	switch kind {
	case linkNull, linkLoop:
		header = 4
	case linkEthernet:
		header = 14
		for len(frame) >= header && isVLAN(binary.BigEndian.Uint16(frame[header-2:])) {
			header += 4
		}
	case linkSLL:
		header = 16
	case linkSLL2:
		header = 20
	case rawIP, linkIPv4, linkIPv6:
	default:
		return nil, false
	}
	if len(frame) <= header {
		return nil, false
	}
	ip := frame[header:]
	switch ip[0] >> 4 {
	case 4:
		return datagram4(ip)
	case 6:
		return datagram6(ip)
	}
	return nil, false
}

// isVLAN reports whether an EtherType is that of a VLAN tag (IEEE 802.1Q).
func isVLAN(kind uint16) bool { return kind == 0x8100 || kind == 0x88a8 }

func datagram4(ip []byte) (*Packet, bool) {
	if len(ip) < header4 {
		return nil, false
	}
	header, length := int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
	fragment := binary.BigEndian.Uint16(ip[6:])&0x3fff != 0
	if header < header4 || length < header || length > len(ip) || fragment || ip[9] != protocolUDP {
		return nil, false
	}
	from, to := netip.AddrFrom4([4]byte(ip[12:])), netip.AddrFrom4([4]byte(ip[16:]))
	return payload(ip[header:length], from, to)
}

func datagram6(ip []byte) (*Packet, bool) {
	if len(ip) < header6 {
		return nil, false
	}
	length := int(binary.BigEndian.Uint16(ip[4:]))
	if length > len(ip)-header6 {
		return nil, false
	}
	from, to := netip.AddrFrom16([16]byte(ip[8:])), netip.AddrFrom16([16]byte(ip[24:]))
	next, rest := ip[6], ip[header6:header6+length]
	for next == 0 || next == 60 || next == 43 { // hop-by-hop, destination and routing header (RFC 8200 section 4)
		if len(rest) < 8 || len(rest) < 8+int(rest[1])*8 {
			return nil, false
		}
		next, rest = rest[0], rest[8+int(rest[1])*8:]
	}
	if next != protocolUDP {
		return nil, false
	}
	return payload(rest, from, to)
}

func payload(udp []byte, from, to netip.Addr) (*Packet, bool) {
	if len(udp) < headerUDP {
		return nil, false
	}
	length := int(binary.BigEndian.Uint16(udp[4:]))
	if length < headerUDP || length > len(udp) {
		return nil, false
	}
	p := &Packet{
		From:    netip.AddrPortFrom(from, binary.BigEndian.Uint16(udp)),
		To:      netip.AddrPortFrom(to, binary.BigEndian.Uint16(udp[2:])),
		Payload: udp[headerUDP:length], Length: length - headerUDP,
	}
	return p, true
}
