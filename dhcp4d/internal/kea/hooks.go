package kea

import (
	"fmt"
	"path"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/encode"
)

// libraries says what does the work of Kea's hook libraries here.
var libraries = map[string]string{
	"bootp":       "a message without a message type is dropped",
	"cb_cmds":     "the configuration stands in files, which a reload reads again",
	"class_cmds":  "classes are changed in the document, and by a reload",
	"ddns_tuning": "dhcp4d updates no DNS",
	"gss_tsig":    "dhcp4d updates no DNS",
	"ha":          "use several dhcp4d with pools of their own, or one store for two (operating.md, database.md)",
	"host_cache":  "reservations are in memory",
	"host_cmds":   "reservations are changed in the document or in its file, and by a reload",
	"lease_cmds":  "dhcp4d leases and the API do its work",
	"lease_query": "the API answers people and programs; routers are not answered",
	"limits":      "limit of a subnet counts leases of an attachment point, and the hook ratelimit of dhcp6d messages",
	"mysql":       "MySQL is not supported; DHCP4D_STORE may be a PostgreSQL database",
	"pgsql":       "DHCP4D_STORE=postgres://… is the store of leases; reservations stand in the document",
	"perfmon":     "metrics have histograms",
	"ping_check":  "on a 4o6 link no client is reached by IPv4",
	"radius":      "dhcp4d-radius does its work (radius.md)",
	"rbac":        "the token of the API allows all",
	"stat_cmds":   "metrics and dhcp4d subnets do its work",
	"subnet_cmds": "subnets are changed in the document, and by a reload",
	"user_chk":    "classes with options and pools do its work",
}

// readHooks converts hook libraries.
func (c *converter) readHooks(v *value) {
	for _, item := range items(v) {
		name := strings.TrimSuffix(strings.TrimPrefix(path.Base(content(item.get("library"))), "libdhcp_"), ".so")
		parameters := item.get("parameters")
		switch name {
		case "legal_log":
			c.hooks = append(c.hooks, "leaselog")
			if p := content(parameters.get("path")); p != "" {
				c.out.Environment = append(c.out.Environment, "DHCP4D_LEASELOG_PATH="+path.Join(p, "leases.log"))
			}
			c.changed(item, "as the hook leaselog, which writes JSON")
		case "run_script":
			c.hooks = append(c.hooks, "run")
			c.out.Environment = append(c.out.Environment, "DHCP4D_RUN_COMMAND="+content(parameters.get("name")))
			c.changed(item, "as the hook run, for changes of leases: no program is run for packets")
		case "flex_id":
			c.flexID = content(parameters.get("identifier-expression"))
			if c.flexID == "" {
				c.left(item, "it has no identifier-expression")
				continue
			}
			c.taken(item, "as flex-id, if reservations have one")
			if isTrue(parameters.get("replace-client-id")) {
				c.changed(item, "its expression is used in reservations; no client identifier is replaced")
			}
		case "flex_option":
			c.flexOption(item, parameters)
		default:
			reason := libraries[name]
			if reason == "" {
				reason = "dhcp4d has nothing like it"
			}
			c.left(item, "%s", reason)
		}
	}
}

// flexOption writes rules that set options of replies.
func (c *converter) flexOption(library, parameters *value) {
	for _, o := range items(parameters.get("options")) {
		key := content(o.get("name"))
		if n := content(o.get("code")); n != "" {
			key = n
		}
		code, problem := encode.CodeOfText(key)
		test := "member('ALL')"
		if class := content(o.get("client-class")); class != "" {
			test = "member('" + class + "')"
		}
		var value, said string
		switch {
		case problem != "":
			c.left(o, "option %s: %s", key, problem)
			continue
		case content(o.get("supersede")) != "":
			value, said = content(o.get("supersede")), "as a rule"
		case content(o.get("add")) != "":
			value, said = content(o.get("add")), "as a rule, which sets the option also if another value is configured"
		case content(o.get("remove")) != "":
			test += " and (" + content(o.get("remove")) + ")"
			value, said = "''", "as a rule"
		case o.get("sub-options") != nil:
			c.left(o, "rules set options as a whole: write a rule for option %s whose expression has its sub-options",
				key)
			continue
		default:
			c.left(o, "it has no add, supersede or remove")
			continue
		}
		c.rules = append(c.rules, ruleLine{fmt.Sprintf("pkt4_send: %s -> option %s = %s", test, encode.Name(code),
			strings.Join(strings.Fields(value), " ")), o})
		if content(o.get("add")) != "" {
			c.changed(o, "%s", said)
			continue
		}
		c.taken(o, "%s", said)
	}
	if len(items(parameters.get("options"))) == 0 {
		c.left(library, "it sets no option")
		return
	}
	c.taken(library.get("library"), "as the hook rules")
}
