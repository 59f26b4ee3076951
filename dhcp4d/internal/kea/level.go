package kea

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// keaLeaseTime is what Kea gives where no valid-lifetime is configured.
const keaLeaseTime = "7200"

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
