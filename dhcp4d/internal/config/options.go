package config

import (
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config/encode"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// optionsDoc is the options of one place of the document.
type optionsDoc struct {
	option.Builder
	routing
	removed map[byte]*value // where each option is taken away
}

// remove takes away an option that a place below has.
func (o *optionsDoc) remove(code byte, at *value) {
	o.Remove(code)
	if o.removed == nil {
		o.removed = map[byte]*value{}
	}
	o.removed[code] = at
	switch code {
	case dhcp4.OptRouter:
		o.noRouters = true
	case dhcp4.OptClasslessStaticRoute:
		o.noClassless = true
	}
}

func (r *reader) putOption(at *value, into *optionsDoc, code byte, wire []byte) {
	if into.Has(code) {
		r.fail(at, "option %s is there twice; leave one out", encode.Name(code))
		return
	}
	into.Put(code, wire)
	switch code {
	case dhcp4.OptRouter:
		into.routers = true
	case dhcp4.OptClasslessStaticRoute:
		into.classless = true
		if !hasDefaultRoute(wire) {
			into.lacking = at
		}
	}
}

// routing is what a place says of default routes.
type routing struct {
	routers   bool   // option 3
	classless bool   // option 121
	lacking   *value // where option 121 is, if it has no default route

	noRouters, noClassless bool // taken away
}

func (p routing) isSet() bool { return p != routing{} }

// over returns what is true where p is laid over another place.
func (p routing) over(below routing) routing {
	if !p.classless && !p.noClassless {
		p.classless, p.lacking = below.classless, below.lacking
	}
	p.routers = p.routers || (below.routers && !p.noRouters)
	return p
}

// checkRouting warns of clients that ask for classless routes and lose the default route by it.
// They ignore option 3 (RFC 3442, section "DHCP Client Behavior").
func (r *reader) checkRouting(p routing) {
	if p.routers && p.lacking != nil && !r.warnedOf[p.lacking] {
		if r.warnedOf == nil {
			r.warnedOf = map[*value]bool{}
		}
		r.warnedOf[p.lacking] = true
		r.warn(p.lacking, "has no default route, and clients that ask for it ignore routers (RFC 3442); add `default via` and the router")
	}
}

// hasDefaultRoute reports whether the value of option 121 has a route for 0.0.0.0/0.
func hasDefaultRoute(wire []byte) bool {
	for len(wire) > 0 {
		if wire[0] == 0 {
			return true
		}
		wire = wire[min(len(wire), 1+(int(wire[0])+7)/8+4):]
	}
	return false
}
