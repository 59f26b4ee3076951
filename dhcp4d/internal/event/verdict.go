package event

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

// Verdict is what the program outside has decided about a query. Classes are numbers of the
// configuration.
type Verdict struct {
	Drop      bool
	Because   string // of Drop, for traces
	Classes   []int
	Address   netip.Addr // invalid: none
	Pool      string
	LeaseTime uint32 // 0: none
	Options   []outside.Option
}

// Heed sets what a verdict says.
func (q *Query) Heed(v *Verdict) {
	q.Verdict, q.Because = v, v.Because
	if v.Address.IsValid() {
		q.Address = v.Address
	}
	if v.Pool != "" {
		q.Pool = v.Pool
	}
	if v.LeaseTime != 0 {
		q.LeaseTime = v.LeaseTime
	}
}
