// Package lease is a stand-in until the real one lands.
package lease

import "net/netip"

// Time is a point in time in Unix seconds.
type Time int64

// PortSet names the ports of a shared address; zero is all ports.
type PortSet uint32

// State is the state of a binding.
type State uint8

// The states of a binding.
const (
	Free State = iota
	Offered
	Bound
	Released
	Declined
)

// Binding is who holds an address.
type Binding struct {
	Addr    netip.Addr
	Ports   PortSet
	Subnet  uint32
	State   State
	HWType  byte
	Client  []byte
	HWAddr  []byte
	Point   []byte
	Source  netip.Addr
	Start   Time
	Expires Time
}
