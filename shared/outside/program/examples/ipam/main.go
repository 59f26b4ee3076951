// Ipam gives the address that an IPAM says: ipam SOCKET URL. It gets URL?interface-id=HEX&mac=MAC.
// The answer is {"address": "192.0.2.7"}, or status 404 for a client that is not to be served.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/outside/program"
)

var client = http.Client{Timeout: 2 * time.Second}

func decide(q *outside.Query) (a outside.Answer) {
	asked := url.Values{"interface-id": {hex.EncodeToString(q.InterfaceID)},
		"mac": {net.HardwareAddr(q.HWAddr).String()}}
	r, err := client.Get(os.Args[2] + "?" + asked.Encode())
	if err != nil {
		return a // no answer: DHCP4D_OUTSIDE_POLICY decides
	}
	defer r.Body.Close()
	var said struct{ Address netip.Addr }
	switch {
	case r.StatusCode == http.StatusNotFound:
		return outside.Answer{Verdict: outside.Drop, Reason: "unknown", Keep: 30}
	case json.NewDecoder(r.Body).Decode(&said) == nil && said.Address.Is4():
		return outside.Answer{Verdict: outside.Continue, Address: said.Address, Keep: 300}
	}
	return a
}

func main() {
	p := program.Program{Name: "ipam", Socket: os.Args[1], Decide: decide, Workers: 32}
	log.Fatal(p.Run(context.Background()))
}
