package kea

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// environment converts what variables of the environment say here.
func (c *converter) environment(d *value) {
	if v := d.get("dhcp4o6-port"); v != nil {
		c.ipc(v)
	}
	if v := d.get("interfaces-config"); v != nil {
		c.interfaces(v)
	}
	if v := d.get("lease-database"); v != nil {
		c.leaseDatabase(v)
	}
	for _, l := range items(d.get("loggers")) {
		c.logger(l)
	}
	if v := d.get("compatibility"); v != nil {
		if x := v.get("exclude-first-last-24"); x != nil {
			c.put(c.top, "exclude-first-last-24", scalar(strconv.FormatBool(isTrue(x))), x)
			c.taken(x, "as exclude-first-last-24")
		}
	}
}

// ipc converts the port of the UDP link between Kea's two daemons.
func (c *converter) ipc(port *value) {
	n, err := strconv.ParseUint(content(port), 10, 16)
	if err != nil || n == 0 || n == 65535 {
		c.left(port, "it names no port")
		return
	}
	c.out.Environment = append(c.out.Environment, fmt.Sprintf("DHCP4D_IPC_LISTEN=[::1]:%d", n+1),
		fmt.Sprintf("DHCP4D_IPC_PEERS=[::1]:%d", n))
	c.taken(port, "as DHCP4D_IPC_LISTEN and DHCP4D_IPC_PEERS; write kea behind the peer if kea-dhcp6 stays, and "+
		"DHCP6D_IPC_LISTEN if dhcp6d comes")
}

// interfaces says which variable of dhcp6d has the interfaces, and notes the only one.
func (c *converter) interfaces(v *value) {
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

// leaseDatabase says how Kea's leases come to dhcp4d.
func (c *converter) leaseDatabase(v *value) {
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

// logger converts the level of kea-dhcp4's log.
func (c *converter) logger(l *value) {
	level := ""
	switch strings.ToUpper(content(l.get("severity"))) {
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
		c.out.Environment = append(c.out.Environment, "DHCP4D_LOG_LEVEL="+level)
		c.taken(l, "as DHCP4D_LOG_LEVEL=%s; the log goes to stderr", level)
	}
}
