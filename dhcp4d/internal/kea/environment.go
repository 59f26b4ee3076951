package kea

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// environment converts what variables of the environment say here.
func (c *converter) environment(d *value) {
	set := func(v *value, name, value, what string) {
		c.out.Environment = append(c.out.Environment, name+"="+value)
		c.taken(v, "as %s=%s%s", name, value, what)
	}
	if v := d.get("dhcp4o6-port"); v != nil {
		if n, err := strconv.ParseUint(content(v), 10, 16); err != nil || n == 0 || n == 65535 {
			c.left(v, "it names no port")
		} else {
			c.out.Environment = append(c.out.Environment, fmt.Sprintf("DHCP4D_IPC_LISTEN=[::1]:%d", n+1),
				fmt.Sprintf("DHCP4D_IPC_PEERS=[::1]:%d", n))
			c.taken(v, "as DHCP4D_IPC_LISTEN and DHCP4D_IPC_PEERS; write kea behind the peer if kea-dhcp6 stays, and "+
				"DHCP6D_IPC_LISTEN if dhcp6d comes")
		}
	}
	if v := d.get("interfaces-config"); v != nil {
		var names []string
		for _, i := range items(v.get("interfaces")) {
			name, _, _ := strings.Cut(content(i), "/")
			names = append(names, name)
		}
		if len(names) == 1 && names[0] != "*" {
			c.link = names[0]
		}
		if slices.Contains(names, "*") {
			c.left(v, "dhcp6d has the sockets on the link: name its interfaces in DHCP6D_INTERFACES")
		} else {
			c.left(v, "dhcp6d has the sockets on the link: give it DHCP6D_INTERFACES=%s", strings.Join(names, ","))
		}
	}
	if v := d.get("lease-database"); v != nil {
		switch content(v.get("type")) {
		case "memfile":
			name := content(v.get("name"))
			if name == "" {
				name = "/var/lib/kea/kea-leases4.csv"
			}
			c.left(v, "leases are in DHCP4D_STORE; dhcp4d leases import %s takes those of Kea", name)
		case "postgresql":
			c.left(v, "dhcp4d has tables of its own, DHCP4D_STORE=postgres://USER@HOST/DATABASE; Kea's leases come "+
				"by kea-lfc or lease_cmds as a file")
		default:
			c.left(v, "leases are in DHCP4D_STORE; export Kea's as a file for dhcp4d leases import")
		}
	}
	for _, l := range items(d.get("loggers")) {
		severity, level := l.get("severity"), ""
		switch strings.ToUpper(content(severity)) {
		case "DEBUG":
			level = "debug"
		case "WARN":
			level = "warn"
		case "ERROR", "FATAL":
			level = "error"
		}
		switch {
		case content(l.get("name")) != "kea-dhcp4":
			c.left(l, "dhcp4d has one level for its whole log (DHCP4D_LOG_LEVEL)")
		case level == "":
			c.left(l, "the log goes to stderr, from info on (DHCP4D_LOG_LEVEL)")
		default:
			set(l, "DHCP4D_LOG_LEVEL", level, "; the log goes to stderr")
		}
	}
	if v := d.get("compatibility"); v != nil {
		if x := v.get("exclude-first-last-24"); x != nil {
			c.put(c.top, "exclude-first-last-24", scalar(strconv.FormatBool(isTrue(x))), x)
			c.taken(x, "as exclude-first-last-24")
		}
	}
}
