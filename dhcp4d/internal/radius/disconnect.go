package radius

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3162"
	"layeh.com/radius/rfc3576"
	"layeh.com/radius/rfc5176"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/exit"
)

// oldest is how old a request may be by its Event-Timestamp (RFC 5176 section 6.3).
const oldest = 5 * time.Minute

// disconnects answers the requests of servers until the socket is closed (RFC 5176).
func (r *Radius) disconnects(ctx context.Context, conn net.PacketConn) {
	buf := make([]byte, radius.MaxPacketLength)
	for {
		n, from, err := conn.ReadFrom(buf)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			r.disconnecting.add("a Disconnect-Request cannot be read", "error", err)
			continue
		}
		answer := r.disconnect(ctx, buf[:n], from)
		if answer == nil {
			continue
		}
		b, err := answer.Encode()
		if err == nil {
			_, err = conn.WriteTo(b, from)
		}
		if err != nil {
			r.disconnecting.add("a Disconnect-Request cannot be answered", "from", from, "error", err)
		}
	}
}

// disconnect returns the answer to a request, nil if it is not to be answered.
func (r *Radius) disconnect(ctx context.Context, request []byte, from net.Addr) *radius.Packet {
	at, err := netip.ParseAddrPort(from.String())
	secret := []byte(r.config.Secret)
	allowed := func(p netip.Prefix) bool { return p.Contains(at.Addr().Unmap().WithZone("")) }
	if err != nil || !slices.ContainsFunc(r.config.DisconnectFrom, allowed) {
		r.disconnecting.add("a request to disconnect a client is not answered: RADIUS_DISCONNECT_FROM does not have "+
			"its sender", "from", from)
		return nil
	}
	budget.Spend(2 * len(request)) // to parse it, and for its checksum
	p, err := radius.Parse(request, secret)
	// The authenticator of other requests, such as Access-Request, proves nothing.
	theirs := err == nil && (p.Code == radius.CodeDisconnectRequest || p.Code == radius.CodeCoARequest)
	if !theirs || !radius.IsAuthenticRequest(request, secret) {
		r.disconnecting.add("a request to disconnect a client is not answered: it is malformed, or made with another "+
			"secret", "from", from)
		return nil
	}
	if there, valid := authentic(p, [16]byte{}); there && !valid {
		r.disconnecting.add("a request to disconnect a client is not answered: its Message-Authenticator is wrong",
			"from", from)
		return nil
	}
	if p.Code != radius.CodeDisconnectRequest {
		return refusal(p, radius.CodeCoANAK, rfc3576.ErrorCause_Value_UnsupportedExtension)
	}
	if made := rfc2869.EventTimestamp_Get(p); !made.IsZero() && time.Since(made).Abs() > oldest {
		r.disconnecting.add("a request to disconnect a client is not answered: it is too old, or a clock is wrong",
			"from", from, "made", made)
		return nil
	}
	cause := r.endSession(ctx, p)
	if cause == 0 {
		return response(p, radius.CodeDisconnectACK)
	}
	r.log.Warn("a client is not disconnected", "from", from, "user", rfc2865.UserName_GetString(p),
		"address", rfc2865.FramedIPAddress_Get(p), "session", rfc2866.AcctSessionID_GetString(p), "error", cause)
	return refusal(p, radius.CodeDisconnectNAK, cause)
}

// response is an answer with what proxies on the way have added (RFC 5176 section 3.1).
func response(p *radius.Packet, code radius.Code) *radius.Packet {
	answer := p.Response(code)
	states, _ := rfc2865.ProxyState_Gets(p) // attributes without octets are none
	budget.Spend(len(p.Attributes) + len(states))
	for _, state := range states {
		_ = rfc2865.ProxyState_Add(answer, state) // it fitted into the request
	}
	return answer
}

func refusal(p *radius.Packet, code radius.Code, cause rfc3576.ErrorCause) *radius.Packet {
	answer := response(p, code)
	_ = rfc3576.ErrorCause_Set(answer, cause)  // cannot fail
	if _, err := answer.Encode(); err != nil { // what proxies have added leaves no room
		rfc3576.ErrorCause_Del(answer)
	}
	return answer
}

// endSession ends the lease that a request names. It returns 0, or why not.
func (r *Radius) endSession(ctx context.Context, p *radius.Packet) rfc3576.ErrorCause {
	address, key, cause := r.find(p)
	if cause != 0 {
		return cause
	}
	// First the verdict: the client may ask at once.
	r.program.Forget(key)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := r.end(ctx, address)
	switch {
	case err == nil:
		r.log.Info("a client is disconnected", "address", address)
		return 0
	case exit.Code(err) == exit.StatusNotFound:
		return rfc3576.ErrorCause_Value_SessionContextNotFound
	}
	r.log.Error("a lease cannot be ended", "address", address, "error", err)
	return rfc3576.ErrorCause_Value_ResourcesUnavailable
}

// known are the attributes that a Disconnect-Request may have. A request with another one says
// something of its session that we cannot compare, and must not be carried out (RFC 5176 section
// 3).
var known = []radius.Type{
	rfc2865.UserName_Type, rfc2865.FramedIPAddress_Type, rfc2865.CallingStationID_Type, rfc2866.AcctSessionID_Type,
	rfc2869.NASPortID_Type,
	rfc2865.NASIdentifier_Type, rfc2865.NASIPAddress_Type, rfc3162.NASIPv6Address_Type,
	rfc2865.ProxyState_Type, rfc2865.ReplyMessage_Type, rfc2866.AcctTerminateCause_Type,
	rfc2869.EventTimestamp_Type, rfc2869.MessageAuthenticator_Type,
}

// find returns the address of the session that a request names, and the key of dhcp4d's verdict,
// nil if it is not known. All that the request says of the session must be true of it (RFC 5176
// section 3).
func (r *Radius) find(p *radius.Packet) (a netip.Addr, key []byte, cause rfc3576.ErrorCause) {
	budget.Spend(8 * len(p.Attributes)) // this loop, and the look-ups here and in disconnect
	for _, attribute := range p.Attributes {
		if !slices.Contains(known, attribute.Type) {
			return a, nil, rfc3576.ErrorCause_Value_UnsupportedAttribute
		}
	}
	if name, err := rfc2865.NASIdentifier_LookupString(p); err == nil && name != r.config.NASIdentifier {
		return a, nil, rfc3576.ErrorCause_Value_NASIdentificationMismatch
	}
	session, user, port := rfc2866.AcctSessionID_GetString(p), rfc2865.UserName_GetString(p), rfc2869.NASPortID_GetString(p)
	mac := strings.ToUpper(strings.ReplaceAll(rfc2865.CallingStationID_GetString(p), ":", "-"))
	address, hasAddress := netip.AddrFromSlice(rfc2865.FramedIPAddress_Get(p).To4())
	if session == "" && user == "" && port == "" && mac == "" && !hasAddress {
		return a, nil, rfc3576.ErrorCause_Value_MissingAttribute
	}
	want := wanted{id: session, names: names{user, port, mac}}
	if hasAddress {
		want.address = address
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s, several := r.sessions.find(&want)
	switch {
	case several:
		return a, nil, rfc5176.ErrorCause_Value_MultipleSessionSelectionUnsupported
	case s != nil:
		return s.address, s.key, 0
	case hasAddress && session == "" && want.names == (names{}) && r.sessions.at[address] == nil:
		// Such as a lease from before our start.
		return address, nil, 0
	}
	return a, nil, rfc3576.ErrorCause_Value_SessionContextNotFound
}
