package kea

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/document"
)

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

// whyNone returns the first reason for which a subnet was left.
func (c *converter) whyNone() string {
	for _, l := range c.lines {
		if l.Verdict == Left && strings.Contains(l.Path, "subnet4[") {
			return l.String()
		}
	}
	return "the configuration has none in subnet4 and shared-networks"
}

// part is the part of the document that is taken out because of a mistake.
type part struct {
	nodes   []*yaml.Node // from the top of the document to the part
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

// soft are keys without which the rest of a class, a pool or a reservation still means what it did.
var soft = []string{"lease-time", "min-lease-time", "max-lease-time", "next-server", "server-hostname",
	"boot-file-name", "ignore-client-id"}

// unit returns how many steps of a path lead to the part that is taken out. That is more than the
// value with the mistake if the rest would mean something else without it. It returns 0 if there is
// no such part.
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
