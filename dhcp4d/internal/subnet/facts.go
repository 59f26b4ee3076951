package subnet

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
)

// FactsHelp says what ParseFacts takes.
const FactsHelp = `source=ADDRESS            IPv6 source address of the query; the relay's, if it is relayed
interface=NAME            interface of dhcp6d
peer=NAME                 the dhcp6d, as in DHCP4D_IPC_PEERS
relayed                   the query is relayed; the next four say so too
link-address=ADDRESS      of one relay; repeat it for each, the relay nearest to the client first
interface-id=ID           of the relay nearest to the client: text, or 0x and hex
remote-id=NUMBER:ID       the same, with the enterprise number
subscriber-id=ID          the same
link-selection=ADDRESS    option 82 sub-option 5 in the DHCPv4 message
subnet-selection=ADDRESS  option 118 in the DHCPv4 message
giaddr=ADDRESS            giaddr of the DHCPv4 message`

// ParseFacts reads the facts of a query that somebody asks about, one an
// argument. The error joins everything that is wrong.
func ParseFacts(args []string) (Facts, error) {
	var f Facts
	var wrong []error
	for _, arg := range args {
		if err := f.set(arg); err != nil {
			wrong = append(wrong, fmt.Errorf("%q: %w", arg, err))
		}
	}
	return f, errors.Join(wrong...)
}

func (f *Facts) set(arg string) (err error) {
	key, text, _ := strings.Cut(arg, "=")
	switch key {
	case "relayed":
		f.Relayed = true
		if text != "" {
			err = errors.New("takes no value")
		}
		return err
	case "source":
		f.Source, err = parseAddr(text, 128)
	case "interface":
		f.Interface = []byte(text)
	case "peer":
		f.Peer = text
	case "link-address":
		var link netip.Addr
		if link, err = parseAddr(text, 128); err == nil {
			f.Level(link)
		}
		f.Relayed = true
	case "interface-id":
		f.InterfaceID, err = config.ParseOctets(text)
		f.Relayed = true
	case "remote-id":
		f.RemoteID, err = config.ParseRemoteID(text)
		f.Relayed = true
	case "subscriber-id":
		f.SubscriberID, err = config.ParseOctets(text)
		f.Relayed = true
	case "link-selection":
		f.LinkSelection, err = parseAddr(text, 32)
	case "subnet-selection":
		f.SubnetSelection, err = parseAddr(text, 32)
	case "giaddr":
		f.GIAddr, err = parseAddr(text, 32)
	default:
		return errors.New("not known, there are source, interface, peer, relayed, link-address, interface-id, remote-id, subscriber-id, link-selection, subnet-selection and giaddr")
	}
	return err
}

// parseAddr reads an address of the family that has so many bits.
func parseAddr(s string, bits int) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.BitLen() != bits {
		if bits == 32 {
			return netip.Addr{}, errors.New("must be an IPv4 address")
		}
		return netip.Addr{}, errors.New("must be an IPv6 address")
	}
	return a, nil
}
