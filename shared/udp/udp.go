// Package udp moves datagrams in batches.
//
// It owns sockets, buffers and the system calls (recvmmsg, sendmmsg, packet
// info, segmentation offload). It never looks into a datagram and never
// decides which one to send.
//
// The calls never block in the kernel (the runtime's poller does the waiting),
// so they are made without telling the scheduler. Told, it takes the processor
// away from a call of more than 20 µs, which a batch easily is, and hands it
// back afterwards: measured on an echo of 350 octets, 64 in flight, that costs
// 5.4 µs per datagram instead of 4.7 (C: 4.4) and five times the switches. The
// price is that a garbage collection may wait for a batch to be sent.
//
// A loop owns one [Reader] and one or more [Writer]s and shares neither. What
// Read returns lies in the reader's buffers and is valid until the next Read;
// who keeps something copies it.
package udp

import "net/netip"

// Packet is one datagram and the way it came or shall go.
type Packet struct {
	// Data is the payload. After Read it aliases the reader's buffer.
	Data []byte
	// Peer is the source of a received packet, the destination of one to be
	// sent. It carries no zone: Interface takes that role.
	Peer netip.AddrPort
	// Local is the destination address of a received packet, known with
	// [Options].PacketInfo. On a packet to be sent it is the source address;
	// the zero Addr lets the kernel choose.
	Local netip.Addr
	// Interface is the index of the interface that received, or that shall
	// send; 0 lets the kernel choose. Without [Options].PacketInfo it is
	// known of packets from link-local addresses only.
	Interface int
	// Received is when the kernel took a received packet in, in nanoseconds
	// of Unix time; 0 unless [Options].Timestamps asked for it.
	Received int64
	// Truncated says that the received datagram was longer than its buffer.
	Truncated bool
	// Err is set by Write when this packet could not be sent, nil otherwise.
	Err error
}

// Reader receives. One goroutine owns it.
type Reader interface {
	// Read waits until at least one datagram is there and returns all that
	// are, up to the reader's batch size. The packets are valid until the
	// next Read. After Close of the socket it returns net.ErrClosed; an
	// error that concerns one datagram only (such as a refused connection)
	// is never returned.
	Read() ([]Packet, error)
}

// Writer sends. One goroutine owns it.
type Writer interface {
	// Write sends the packets, those to one destination in their order, and
	// sets Err on those that the kernel refused. It returns how many were sent.
	Write(ps []Packet) (sent int)
}
