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
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Imported is what became of a configuration of Kea's.
type Imported struct {
	Document    []byte   // for DHCP4D_SUBNETS_FILE
	Environment []string // other variables, as NAME=value
	Rules       []byte   // for DHCP4D_RULES_LINES_FILE; empty if there are none
	Report      []Line   // in the order of the files
	Unmatched   []string // prefixes of subnets for which the configuration does not say which queries are theirs
}

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

// takenAs reports that a value is written under a key of ours, if the report has nothing about the
// value yet.
func (c *converter) takenAs(v *value, key string) {
	if !v.said {
		c.taken(v, "as %s", key)
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
