package config

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/encode"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
)

// optionsDoc is the options of one part of the document.
type optionsDoc struct {
	option.Builder
	routing
	removed  map[byte]*value // where each option is taken away
	computed []computedDoc
}

// computedDoc is an option whose value an expression gives.
type computedDoc struct {
	code byte
	at   *value
}

// expressionOf returns the expression that is given instead of an option's value, nil if there is
// none.
func expressionOf(v *value) *value {
	if v.Kind == yaml.MappingNode && len(v.Content) == 2 && v.Content[0].Value == exprKey {
		return v.Within(exprKey, v.Content[1])
	}
	return nil
}

const exprKey = "expr"

// computes adds an option whose value an expression gives.
func (r *reader) computes(at, expr *value, into *optionsDoc) {
	code, ok := encode.Code(at.Node, func(n *yaml.Node, path, problem string) { r.FailAt(n, at.Path()+path, problem) })
	twice := slices.ContainsFunc(into.computed, func(c computedDoc) bool { return c.code == code })
	switch {
	case !ok:
	case code == dhcp4.OptIPv6OnlyPreferred:
		r.Fail(at, "decides whether a client needs an address; give it a value, in a class if it depends on the client")
	case twice || into.Has(code):
		r.Fail(at, "option %s is there twice; leave one out", encode.Name(code))
	default:
		into.computed = append(into.computed, computedDoc{code, expr})
		into.routers = into.routers || code == dhcp4.OptRouter
		into.classless = into.classless || code == dhcp4.OptClasslessStaticRoute
	}
}

// set compiles the options of one part. Their expressions may ask for the classes of a scope.
func (r *reader) set(o *optionsDoc, scope *expression.Scope) *option.Set {
	for _, c := range o.computed {
		if v := r.valueOf(c.at, scope); v != nil {
			unit, several := encode.Unit(c.code)
			o.Compute(option.Computed{Code: c.code, Unit: unit, Several: several, Value: v})
		}
	}
	o.computed = nil
	return o.Set()
}

// identity reads an expression that identifies a client. It is evaluated before it is known whether
// the client has a reservation.
func (r *reader) identity(v *value, scope *expression.Scope) *expression.Value {
	if v == nil {
		return nil
	}
	compiled := r.valueOf(v, scope)
	if compiled != nil && scope.ValueUsesKnown(compiled) {
		r.Fail(v, "depends on whether the client has a reservation, and that depends on this; leave out known, "+
			"unknown, KNOWN, UNKNOWN and classes that ask for them")
	}
	return compiled
}

// valueOf reads an expression that is octets, nil if it is none.
func (r *reader) valueOf(v *value, scope *expression.Scope) *expression.Value {
	text, ok := r.Scalar(v, testKind)
	if !ok {
		return nil
	}
	compiled, err := expression.CompileValue(text, vocabulary(scope))
	r.inside(v, err)
	if err != nil {
		return nil
	}
	return compiled
}

// remove notes that clients do not get an option of parts that go after this one.
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
	computed := slices.ContainsFunc(into.computed, func(c computedDoc) bool { return c.code == code })
	if computed || into.Has(code) {
		r.Fail(at, "option %s is there twice; leave one out", encode.Name(code))
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

// routing is what a part of the document configures about default routes.
type routing struct {
	routers   bool   // option 3
	classless bool   // option 121
	lacking   *value // where option 121 is, if it has no default route

	noRouters, noClassless bool // the option is taken away
}

func (p routing) isSet() bool { return p != routing{} }

// over returns the routing of clients that get p before what is below it.
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
		r.Warn(p.lacking, "has no default route, and clients that ask for it ignore routers (RFC 3442); "+
			"add `default via` and the router")
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
