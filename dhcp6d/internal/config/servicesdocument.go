package config

import (
	"errors"
	"slices"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/softwire"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/document"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
)

// claim is what a rule or binding gives to CEs, and where it stands.
type claim struct {
	softwire.Claim
	at *value
}

// servicesDocument is the document as it is read.
type servicesDocument struct {
	Services
	scope  *expression.Scope
	at     []*value // of the services
	claims []claim
	list   *value // the links; they are read last, because they name classes
}

// documentKeys are those of the document.
var documentKeys = []key[servicesDocument]{
	{"classes", "list of classes", "classes of clients, which entries can be for",
		func(r *reader, v *value, d *servicesDocument) {
			for _, item := range r.List(v, "classes") {
				d.class(r, item)
			}
		}},
	{"links", "list of links", "what clients are offered; the first entry that fits a client counts",
		func(_ *reader, v *value, d *servicesDocument) { d.list = v }},
}

// classDocument is a class as it is read.
type classDocument struct {
	name string
	test *value
}

var classKeys = []key[classDocument]{
	{"name", "text", "name of the class", func(r *reader, v *value, c *classDocument) { c.name, _ = r.Scalar(v, "text") }},
	{"test", "expression, see expressions.md", "what is true of the messages of these clients",
		func(_ *reader, v *value, c *classDocument) { c.test = v }},
}

func (d *servicesDocument) class(r *reader, item *value) {
	var c classDocument
	if !mapping(r, item, "a class", classKeys, &c) {
		return
	}
	if item.Get("name") == nil || c.test == nil {
		r.Fail(item, "must have a name and a test")
		return
	}
	text, ok := r.Scalar(c.test, "an expression")
	if !ok || c.name == "" {
		return
	}
	test, err := expression.CompileTest(text, &expression.Vocabulary{V6: true, Classes: d.scope})
	if wrong, is := errors.AsType[*expression.Error](err); is {
		r.FailInside(c.test, wrong.Offset, wrong.Problem)
		return
	}
	if _, err := d.scope.Add(c.name, test, nil); err != nil {
		r.Fail(item, "%v", err)
	}
}

// number returns the number of the class that a value names.
func (d *servicesDocument) number(r *reader, v *value) int {
	name, ok := r.Scalar(v, "the name of a class")
	if !ok {
		return -1
	}
	n, found := d.scope.Lookup(name)
	if found {
		return n
	}
	remedy := "there are none; define it in classes"
	if names := d.scope.Names(); len(names) > 0 {
		remedy = expression.Suggest(name, names)
	}
	r.Fail(v, "no class %s is defined; %s", name, remedy)
	return -1
}

// conflicts reports rules and bindings that give a port of an address to two CEs.
func (d *servicesDocument) conflicts(r *reader) {
	claims := make([]softwire.Claim, len(d.claims))
	for i, c := range d.claims {
		claims[i] = c.Claim
	}
	for _, c := range softwire.Conflicts(claims) {
		first, second := d.claims[c.First], d.claims[c.Second]
		r.Fail(second.at, "%v overlaps with %v in line %d: two CEs would have the same address and ports; "+
			"give each other addresses or another PSID, or the same ipv6-prefix and lengths if it is the same rule",
			second.IPv4(), first.IPv4(), first.at.Line)
	}
}

// priorities reports mechanisms that are ordered and not there, and what is too much for an answer.
// elsewhere reports whether an option is offered by a variable.
func (d *servicesDocument) priorities(r *reader, elsewhere func(code uint16) bool) {
	wrong := map[string]bool{} // such as links[3
	for _, m := range r.Mistakes {
		entry, _, _ := strings.Cut(m.Path, "]")
		wrong[entry] = true
	}
	for i, s := range d.List {
		if entry, _, _ := strings.Cut(d.at[i].Path(), "]"); wrong[entry] {
			continue // it may be about what is missing
		}
		for _, m := range s.Priority {
			if !s.offers(uint16(m)) && !elsewhere(uint16(m)) {
				r.Fail(d.at[i], "priority lists %s, which these clients are not offered; add it, or leave it out of "+
					"the list", m)
			}
		}
		if err := (answer.Options{Others: s.Options()}).CheckSize(); err != nil {
			r.Fail(d.at[i], "%v", err)
		}
	}
}

// services reads the document.
func (v linksVariable) services(l *config.Loader, elsewhere func(code uint16) bool) (Services, []string) {
	if v == "" {
		return Services{}, nil
	}
	var r reader
	d := servicesDocument{Services: Services{Classes: new(expression.Classes)}}
	d.scope = d.Classes.Scope()
	if root := r.Parse(string(v), "give links: and a list, or unset the variable"); root != nil {
		if mapping(&r, root, "the document", documentKeys, &d) {
			if d.list == nil {
				r.Fail(root, "has no links; give links: and a list")
			} else {
				for _, item := range r.List(d.list, "links") {
					d.link(&r, item)
				}
			}
		}
	}
	d.conflicts(&r)
	d.priorities(&r, elsewhere)
	if mistakes, ok := errors.AsType[document.Mistakes](r.Err()); ok {
		for _, m := range mistakes {
			l.Mistake("LINKS", m.Error(), "")
		}
		return Services{}, nil
	}
	var warnings []string
	for _, text := range r.Told() {
		warnings = append(warnings, Prefix+"LINKS: "+text)
	}
	return d.Services, warnings
}

// linksVariable is the text of the document.
type linksVariable string

// LoadServices reads only the document in DHCP6D_LINKS, for who asks about it.
func LoadServices(environ []string) (Services, error) {
	own := slices.DeleteFunc(slices.Clone(environ), func(e string) bool {
		return !strings.HasPrefix(e, Prefix+"LINKS=") && !strings.HasPrefix(e, Prefix+"LINKS_FILE=")
	})
	l := config.New(Prefix, own)
	var r struct {
		Links linksVariable `env:"LINKS,required" kind:"a YAML or JSON document, or a file with it by DHCP6D_LINKS_FILE" desc:"the document to explain"`
	}
	l.Parse(&r)
	s, _ := r.Links.services(l, func(uint16) bool { return true })
	return s, l.Err()
}
