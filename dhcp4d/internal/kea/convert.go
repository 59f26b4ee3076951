// Package kea reads the configuration of ISC Kea's DHCPv4 server, and writes what of it dhcp4d can
// do: the subnets document, variables of the environment, and rules. It tells of each part what was
// taken, changed and left, and why.
//
// What is written passes -check: the package takes out again what -check refuses, and reports it as
// left. So it need not know all rules of a document itself.
//
// The values of options become octets as in Kea (options.go), and octets become what people write
// in the document (ours.go). Where both servers go by another order, the document is written so
// that clients get what they got: see classes.go.
package kea

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/document"
)

// Imported is what became of a configuration of Kea's.
type Imported struct {
	Document    []byte   // for DHCP4D_SUBNETS_FILE
	Environment []string // other variables, as NAME=value
	Rules       []byte   // for DHCP4D_RULES_LINES_FILE; empty if there are none
	Report      []Line   // in the order of the files
	Unmatched   []string // prefixes of subnets for which the configuration does not say which queries are theirs
}

// keaLeaseTime is what Kea gives where no valid-lifetime is configured.
const keaLeaseTime = "7200"

// converter makes a document.
type converter struct {
	report
	out     Imported
	top     *yaml.Node
	subnets *yaml.Node
	// networks are the subnets of each shared network, by its name.
	networks map[string][]*yaml.Node
	defs     *definitions
	classes  []*class
	byName   map[string]*class // of classes
	helpers  []*yaml.Node      // classes that pools ask for by a name that Kea defines
	known    []string          // tests of the clients that have a reservation which is not written
	claimed  map[string]string
	hooks    []string // of DHCP4D_HOOKS
	rules    []ruleLine
	global   *value // the object Dhcp4
	flexID   string // the expression of the hook flex_id
	flex     string // that of flex-id here, if a reservation has one
	origin   map[*yaml.Node]*value
	tagged   *optionList // of the top
	byClass  *[256]bool  // see classGives
	link     string      // the only interface that Kea serves; empty if there are several, or any
	nextID   int
	// refuses is what the program says of a rule beside the document.
	refuses func(rule string) error
	size    int // falls with each part that is taken out of the document
}

// Import converts the file with that name. The error is a [SyntaxError] where the file cannot be
// read as Kea's configuration.
func Import(name string, read func(path string) ([]byte, error)) (*Imported, error) {
	root, warnings, err := parse(name, read)
	if err != nil {
		return nil, err
	}
	dhcp4 := root.get("Dhcp4")
	if dhcp4 == nil || dhcp4.kind != object {
		return nil, &SyntaxError{root.at,
			"the file is no configuration of Kea's DHCPv4 server: it must be an object with the key Dhcp4"}
	}
	c := &converter{claimed: map[string]string{}, byName: map[string]*class{}, networks: map[string][]*yaml.Node{},
		origin: map[*yaml.Node]*value{}, global: dhcp4}
	c.report.lines = warnings
	c.convert(dhcp4)
	c.rest(root)
	if err := c.check(); err != nil {
		return nil, err
	}
	c.checkRules()
	c.finish(name)
	return &c.out, nil
}

func mapping() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode} }

// put adds a key to a mapping. From is the part of Kea's configuration that it comes from.
func (c *converter) put(m *yaml.Node, key string, v *yaml.Node, from *value) {
	m.Content = append(m.Content, scalar(key), v)
	if from != nil {
		c.origin[v] = from
	}
}

func (c *converter) convert(d *value) {
	c.top = mapping()
	c.defs = newDefinitions(c.definitions(d.get("option-def")), newDefinitions(standardDefinitions(), nil))
	c.environment(d)
	c.readHooks(d.get("hooks-libraries"))
	c.readClasses(d.get("client-classes"))
	c.readKnown(d)

	c.level(c.top, d, nil)
	if d.get("authoritative") == nil {
		c.put(c.top, "authoritative", scalar("false"), nil) // as in Kea
	}
	o := c.options(d.get("option-data"), c.defs)
	// Kea sends these, where they are configured, to all clients.
	for _, name := range []string{"routers", "domain-name-servers", "domain-name"} {
		if !slices.Contains(o.always, name) {
			o.always = append(o.always, name)
		}
	}
	c.writeOptions(c.top, o)
	c.tagged = o

	c.subnets = &yaml.Node{Kind: yaml.SequenceNode}
	for _, n := range items(d.get("shared-networks")) {
		c.network(n)
	}
	for _, s := range items(d.get("subnet4")) {
		c.subnet(s, nil)
	}
	c.globalReservations(d)
	c.onlyLink()
	if c.flex != "" {
		c.put(c.top, "flex-id", str(c.flex), nil)
	}
	if all := c.topClasses(); len(all) > 0 {
		c.put(c.top, "classes", &yaml.Node{Kind: yaml.SequenceNode, Content: all}, nil)
	}
	c.put(c.top, "subnets", c.subnets, nil)
}

// readKnown collects the clients that have a reservation which gives them nothing but classes. In
// Kea they are known.
func (c *converter) readKnown(d *value) {
	var lists []*value
	subnets := items(d.get("subnet4"))
	for _, n := range items(d.get("shared-networks")) {
		subnets = append(subnets, items(n.get("subnet4"))...)
	}
	for _, s := range subnets {
		lists = append(lists, s.get("reservations"))
	}
	if isTrue(d.get("reservations-global")) {
		lists = append(lists, d.get("reservations"))
	}
	for _, l := range lists {
		for _, r := range items(l) {
			if who, _, ok := c.identity(r, func(*value, string, ...any) {}); ok && bare(r) {
				c.known = append(c.known, "("+who.test+")")
			}
		}
	}
}

// items are the elements of a list, none if there is no list.
func items(v *value) []*value {
	if v == nil || v.kind != list {
		return nil
	}
	return v.values
}

// isTrue reports whether a value is there and true.
func isTrue(v *value) bool { return v != nil && v.kind == boolean && v.text == "true" }

// definitions reads a list of option-def.
func (c *converter) definitions(v *value) (own []*definition) {
	for _, item := range items(v) {
		d := &definition{space: dhcp4Space, name: content(item.get("name")), kind: content(item.get("type")),
			array: isTrue(item.get("array")), encapsulate: content(item.get("encapsulate"))}
		if s := content(item.get("space")); s != "" {
			d.space = s
		}
		code, err := strconv.ParseUint(content(item.get("code")), 10, 16)
		if err != nil || d.name == "" || d.kind == "" {
			c.left(item, "a definition of an option needs name, code and type")
			continue
		}
		d.code = uint32(code)
		if d.kind == "record" {
			for f := range strings.SplitSeq(content(item.get("record-types")), ",") {
				d.fields = append(d.fields, strings.TrimSpace(f))
			}
		}
		own = append(own, d)
		c.taken(item, "values of the option are converted by it")
	}
	return own
}

// content is the text of a value that is there.
func content(v *value) string {
	if v == nil || v.kind == list || v.kind == object || v.kind == null {
		return ""
	}
	return v.text
}

// number takes a whole number from a value.
func (c *converter) number(v *value) (int64, bool) {
	n, err := strconv.ParseInt(v.text, 10, 64)
	if v.kind != number || err != nil || n < 0 {
		c.left(v, "must be a whole number")
		return 0, false
	}
	return n, true
}

// pick is the value of a key in the first of several objects that has it.
func pick(key string, from ...*value) *value {
	for _, f := range from {
		if v := f.get(key); v != nil {
			return v
		}
	}
	return nil
}

// takenAs is said of what is written under a key of ours.
func (c *converter) takenAs(v *value, key string) {
	if !v.said {
		c.taken(v, "as %s", key)
	}
}

// level converts what the top of Kea's configuration, and a subnet with its shared network, have in
// common.
func (c *converter) level(m *yaml.Node, v, network *value) {
	from := []*value{v}
	if network != nil {
		from = append(from, network)
	}
	c.times(m, from)
	c.timers(m, from)
	if a := pick("authoritative", from...); a != nil && a.kind == boolean {
		c.put(m, "authoritative", scalar(a.text), a)
		c.takenAs(a, "authoritative")
	}
	if a := pick("match-client-id", from...); a != nil && a.kind == boolean {
		c.put(m, "ignore-client-id", scalar(strconv.FormatBool(a.text == "false")), a)
		c.takenAs(a, "ignore-client-id, its contrary")
	}
	if a := pick("decline-probation-period", v); a != nil && m == c.top {
		if n, ok := c.number(a); ok {
			c.put(m, "decline-time", scalar(strconv.FormatInt(n, 10)), a)
			c.takenAs(a, "decline-time")
		}
	}
	c.boot(m, from)
}

// boot converts where clients boot from.
func (c *converter) boot(m *yaml.Node, from []*value) {
	for _, key := range []string{"next-server", "server-hostname", "boot-file-name"} {
		switch v := pick(key, from...); {
		case v == nil:
		case v.kind != text:
			c.left(v, "must be text")
		case v.text == "" || (key == "next-server" && v.text == "0.0.0.0"):
			if !v.said {
				c.taken(v, "nothing is configured")
			}
		default:
			c.put(m, key, str(v.text), v)
			c.takenAs(v, key)
		}
	}
}

// infinite is Kea's lease time that never ends.
const infinite = 1<<32 - 1

func seconds(n int64) *yaml.Node {
	if n == infinite {
		return scalar("infinite")
	}
	return scalar(strconv.FormatInt(n, 10))
}

var timeKeys = [3][2]string{{"valid-lifetime", "lease-time"}, {"min-valid-lifetime", "min-lease-time"},
	{"max-valid-lifetime", "max-lease-time"}}

// times converts the lease times of the top, or of a subnet. Each of the three is inherited by
// itself, here as in Kea.
func (c *converter) times(m *yaml.Node, from []*value) {
	for i, key := range timeKeys {
		v := pick(key[0], from...)
		if v == nil {
			if m == c.top && i == 0 {
				c.put(m, key[1], scalar(keaLeaseTime), nil)
			}
			continue
		}
		if n, ok := c.number(v); ok {
			c.put(m, key[1], seconds(n), v)
			c.takenAs(v, key[1])
		}
	}
}

// ownTimes converts the lease times of a class. What it says replaces all three.
func (c *converter) ownTimes(m *yaml.Node, class *value) {
	before := len(m.Content)
	c.times(m, []*value{class})
	if len(m.Content) == before || class.get("valid-lifetime") != nil {
		return
	}
	v := pick("min-valid-lifetime", class)
	if v == nil {
		v = class.get("max-valid-lifetime")
	}
	c.put(m, "lease-time", scalar(content(v)), v)
}

// timers converts when clients renew and rebind.
func (c *converter) timers(m *yaml.Node, from []*value) {
	all := from
	if m != c.top {
		all = append(slices.Clip(from), c.global)
	}
	calculated := isTrue(pick("calculate-tee-times", all...))
	said := false
	for _, f := range from {
		for _, key := range []string{"renew-timer", "rebind-timer", "calculate-tee-times", "t1-percent", "t2-percent"} {
			said = said || f.get(key) != nil
		}
	}
	if !said {
		return
	}
	var written []string
	one := func(timer, percent, factor, key string) {
		v := pick(timer, all...)
		switch {
		case v != nil:
			if n, ok := c.number(v); ok {
				c.put(m, key, seconds(n), v)
				c.takenAs(v, key)
				written = append(written, timer)
			}
		case calculated:
			if p := pick(percent, all...); p != nil {
				if strings.HasPrefix(p.text, ".") {
					p.text = "0" + p.text
				}
				c.put(m, key, scalar(p.text), p)
				c.takenAs(p, key)
				return
			}
			c.put(m, key, scalar(factor), nil)
		}
	}
	one("renew-timer", "t1-percent", "0.5", "renewal-time")
	one("rebind-timer", "t2-percent", "0.875", "rebinding-time")
	for _, f := range from {
		for _, key := range []string{"calculate-tee-times", "t1-percent", "t2-percent"} {
			switch v := f.get(key); {
			case v == nil || v.said:
			case calculated:
				c.taken(v, "by renewal-time and rebinding-time")
			default:
				c.left(v, "nothing is calculated from it: calculate-tee-times is not true, or the timers are given")
			}
		}
	}
	if !calculated && len(written) == 1 {
		if v := pick(written[0], from...); v != nil {
			c.changed(v, "both options 58 and 59 are sent; Kea sends only the one that is configured")
		}
	}
}

// finish writes the document and what belongs to it.
func (c *converter) finish(name string) {
	if len(c.hooks) > 0 {
		c.out.Environment = append(c.out.Environment, "DHCP4D_HOOKS="+strings.Join(c.hooks, ","))
	}
	for _, r := range c.rules {
		c.out.Rules = append(c.out.Rules, r.text+"\n"...)
	}
	c.out.Report = c.sorted()
	var head strings.Builder
	fmt.Fprintf(&head, "# Made of %s by dhcp4d import-config.\n", filepath.Base(name))
	for _, prefix := range c.out.Unmatched {
		fmt.Fprintf(&head, "# Say in match of the subnet %s which queries are for it.\n", prefix)
	}
	c.out.Document = append([]byte(head.String()), c.out.Document...)
}

// encode writes the document as it is now.
func (c *converter) encode() ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(c.top); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

// defaults are those of an environment that says nothing.
var defaults = config.Defaults{Authoritative: true, LeaseTime: 3600, OfferHold: 60, DeclineTime: 86400}

// check takes out of the document what the program refuses, until it refuses nothing. Each step
// takes something out, so there is an end.
func (c *converter) check() error {
	for {
		text, err := c.encode()
		if err != nil {
			return fmt.Errorf("writing the document: %w", err)
		}
		subnets, err := config.ParseSubnets(text, defaults)
		if err == nil {
			c.out.Document = text
			c.refuses = func(rule string) error { return config.CheckRules(subnets, rule) }
			return nil
		}
		var mistakes document.Mistakes
		if !errors.As(err, &mistakes) {
			return err
		}
		if len(c.subnets.Content) == 0 {
			return errors.New("no subnet could be taken: " + c.whyNone())
		}
		var parts []part
		for _, m := range mistakes { // all are found before the first is taken out: paths have indexes
			if p, ok := c.partOf(m); ok {
				parts = append(parts, p)
			}
		}
		before := c.size
		c.takeOut(parts)
		if c.size == before {
			return fmt.Errorf("the document that was made has a mistake: %w", mistakes[0])
		}
	}
}

// whyNone is the first reason for which a subnet was left.
func (c *converter) whyNone() string {
	for _, l := range c.lines {
		if l.Verdict == Left && strings.Contains(l.Path, "subnet4[") {
			return l.String()
		}
	}
	return "the configuration has none in subnet4 and shared-networks"
}

// part is what of the document a mistake takes out: the last of the nodes that lead to it.
type part struct {
	nodes   []*yaml.Node
	from    *value
	problem string
}

// partOf finds what a mistake takes out.
func (c *converter) partOf(m document.Mistake) (part, bool) {
	steps := steps(m.Path)
	nodes := []*yaml.Node{c.top}
	for _, s := range steps {
		next := child(nodes[len(nodes)-1], s)
		if next == nil {
			break
		}
		nodes = append(nodes, next)
	}
	at := unit(steps[:len(nodes)-1])
	if at == 0 {
		return part{}, false
	}
	p := part{nodes: nodes[:at+1], from: c.origin[nodes[at]], problem: m.Problem}
	for i := len(nodes) - 1; i > 0 && p.from == nil; i-- {
		p.from = c.origin[nodes[i]]
	}
	if p.from == nil {
		p.from = c.global
	}
	return p, true
}

// takeOut takes parts out of the document, those that are still there, and reports them.
func (c *converter) takeOut(parts []part) {
	taken := parts[:0]
	gone, cut := map[*yaml.Node]bool{}, map[*yaml.Node]bool{} // parts, and what they were taken out of
	for _, p := range parts {
		at := len(p.nodes) - 1
		if gone[p.nodes[at]] {
			continue
		}
		gone[p.nodes[at]], cut[p.nodes[at-1]] = true, true
		c.size--
		taken = append(taken, p)
	}
	for up := range cut {
		remove(up, gone)
	}
	for _, p := range taken {
		for at := len(p.nodes) - 2; at > 0 && emptied(p.nodes[at]) && !gone[p.nodes[at]]; at-- { // such as options
			gone[p.nodes[at]] = true
			remove(p.nodes[at-1], gone)
		}
	}
	last := map[string]int{} // the last part with a path
	from := make([]*value, len(taken))
	for i, p := range taken {
		from[i] = p.from
		last[p.from.path()] = i
	}
	c.retract(from...)
	for i, p := range taken {
		within := false // another part, which was taken out later
		for path := range above(p.from.path()) {
			outer, ok := last[path]
			within = within || (ok && outer > i)
		}
		if !within {
			c.left(p.from, "dhcp4d refuses it: %s", p.problem)
		}
	}
}

// retract takes back what was said of parts and of what is in them.
func (c *converter) retract(from ...*value) {
	files := map[string]string{}
	for _, v := range from {
		if v != c.global {
			files[v.path()] = v.at.File
		}
	}
	c.lines = slices.DeleteFunc(c.lines, func(l Line) bool {
		for path := range above(l.Path) {
			if file, ok := files[path]; ok && file == l.At.File {
				return true
			}
		}
		return false
	})
}

// above returns a path, and the paths of all that it is in.
func above(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for path != "" && yield(path) {
			budget.Spend(1)
			path = path[:max(0, strings.LastIndexAny(path, ".["))]
		}
	}
}

// steps are the keys and indexes of a path.
func steps(path string) (all []string) {
	for part := range strings.SplitSeq(path, ".") {
		key, rest, _ := strings.Cut(part, "[")
		all = append(all, key)
		for rest != "" {
			index, more, _ := strings.Cut(rest, "]")
			all = append(all, index)
			rest = strings.TrimPrefix(more, "[")
		}
	}
	return all
}

func child(n *yaml.Node, step string) *yaml.Node {
	if n.Kind == yaml.SequenceNode {
		if i, err := strconv.Atoi(step); err == nil && i < len(n.Content) {
			return n.Content[i]
		}
		return nil
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == step {
			return n.Content[i+1]
		}
	}
	return nil
}

// soft are keys without which the rest of a class, a pool or a reservation still means what it did.
var soft = []string{"lease-time", "min-lease-time", "max-lease-time", "next-server", "server-hostname",
	"boot-file-name", "ignore-client-id"}

// unit is how many steps lead to the part that is taken out as a whole: what is left of it would
// mean something else. It is 0 if there is no such part.
func unit(steps []string) int {
	element, of := 0, "" // the element of a list that the path is in
	for i := 0; i < len(steps); i++ {
		s := steps[i]
		inside := i+1 < len(steps)
		switch {
		case inside && slices.Contains([]string{"subnets", "classes", "pools", "match", "reservations"}, s) &&
			(of == "" || of == "subnets"):
			element, of = i+2, s
			i++
		case inside && slices.Contains([]string{"options", "always-send", "no-options"}, s):
			return i + 2
		case of == "", of == "subnets" && s != "id" && s != "subnet", slices.Contains(soft, s):
			return i + 1
		default:
			return element
		}
	}
	return element
}

// emptied reports whether nothing is left of a mapping.
func emptied(n *yaml.Node) bool { return len(n.Content) == 0 && n.Kind == yaml.MappingNode }

// remove removes nodes from the one that they are in, all in one pass: there may be thousands.
func remove(from *yaml.Node, gone map[*yaml.Node]bool) {
	budget.Spend(len(from.Content))
	kept := from.Content[:0]
	for i, n := range from.Content {
		of := n // of a key its value
		if from.Kind == yaml.MappingNode && i%2 == 0 && i+1 < len(from.Content) {
			of = from.Content[i+1]
		}
		if !gone[of] {
			kept = append(kept, n)
		}
	}
	clear(from.Content[len(kept):])
	from.Content = kept
}
