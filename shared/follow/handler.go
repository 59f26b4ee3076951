// Package follow shows people what becomes of the packets of one subscriber: it is the part of a
// daemon's API that streams the records of package trace, and the command that prints them.
package follow

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/octets"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
	"github.com/dhcp4o6/dhcp4o6/shared/web"
)

// Path is where the API has the stream.
const Path = "/v1/trace"

// aliveEvery is how often a stream without records says that it lives. It is shorter than a write
// may take.
const aliveEvery = web.WriteTime / 2

// selector is a parameter that says whom to follow. The flag of the command has its name with
// hyphens.
type selector struct{ name, about string }

func selectors() []selector {
	return []selector{
		{"hw_address", "hardware address, in `any notation`: " +
			"02:00:5e:10:00:01, 02-00-5e-10-00-01, 0200.5e10.0001, 02005e100001"},
		{"client_id", "client identifier in `hex`"},
		{"source", "IPv6 `address` or prefix, of the client or of a relay on the way"},
		{"interface_id", "Interface-Id of a relay on the way: `text, or 0x and hex`"},
		{"remote_id", "Remote-Id of a relay on the way: `enterprise:text, or 0x and hex`"},
	}
}

// Parameters returns the names of the parameters that say whom to follow.
func Parameters() (names []string) {
	for _, s := range selectors() {
		names = append(names, s.name)
	}
	return names
}

// Subscriber reads whom a request wants to follow.
func Subscriber(q url.Values) (s trace.Subscriber, err error) {
	var errs []error
	identifier := func(name string, parse func(string) ([]byte, error), into *[]byte) {
		if v := q.Get(name); v != "" {
			var err error
			if *into, err = parse(v); err != nil {
				errs = append(errs, errors.New(name+": "+err.Error()))
			}
		}
	}
	identifier("hw_address", octets.ParseHWAddress, &s.HWAddr)
	identifier("client_id", octets.ParseHex, &s.ClientID)
	identifier("interface_id", octets.Parse, &s.InterfaceID)
	identifier("remote_id", octets.ParseRemoteID, &s.RemoteID)
	if v := q.Get("source"); v != "" {
		if a, err := netip.ParseAddr(v); err == nil && a.Is6() {
			s.Source = netip.PrefixFrom(a.WithZone(""), 128)
		} else if s.Source, err = netip.ParsePrefix(v); err != nil || !s.Source.Addr().Is6() {
			errs = append(errs, errors.New("source: "+v+" is no IPv6 address and no prefix of such"))
		}
	}
	if len(errs) == 0 && s.IsZero() {
		errs = append(errs, errors.New("say whom to follow: a hardware address, client identifier, "+
			"IPv6 address or prefix, Interface-Id or Remote-Id"))
	}
	return s, errors.Join(errs...)
}

// NewHandler makes the API of a daemon that shows nothing else.
func NewHandler(hub *trace.Hub) http.Handler {
	fail := func(w http.ResponseWriter, status int, why string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": why}) // whoever asked and went away does not matter
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path, func(w http.ResponseWriter, r *http.Request) {
		for name := range r.URL.Query() {
			if !slices.Contains(Parameters(), name) {
				fail(w, http.StatusBadRequest, "there is no parameter "+name)
				return
			}
		}
		Serve(w, r, hub, fail)
	})
	return mux
}

// Serve streams what becomes of the packets of a subscriber, until whoever asked goes away. fail
// answers that something is wrong.
func Serve(
	w http.ResponseWriter, r *http.Request, hub *trace.Hub,
	fail func(w http.ResponseWriter, status int, why string),
) {
	of, err := Subscriber(r.URL.Query())
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	watch, err := hub.Watch(of)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	defer watch.Close()
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // a test without a connection has none
	w.Header().Set("Content-Type", "application/x-ndjson")
	out, alive := json.NewEncoder(w), time.NewTicker(aliveEvery)
	defer alive.Stop()
	for {
		_ = control.SetWriteDeadline(time.Now().Add(web.WriteTime))
		if control.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case record := <-watch.Records():
			err = out.Encode(record)
		case <-alive.C:
			_, err = w.Write([]byte("\n"))
		}
		if err != nil {
			return
		}
	}
}
