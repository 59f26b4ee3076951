package kea

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/encode"
	"github.com/dhcp4o6/dhcp4o6/shared/rule"
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

// libraries says what does the work of Kea's hook libraries here.
var libraries = map[string]string{
	"bootp": "a message without a message type is dropped", "cb_cmds": "the configuration stands in files, which a reload reads again",
	"class_cmds": "classes are changed in the document, and by a reload", "ddns_tuning": "dhcp4d updates no DNS", "gss_tsig": "dhcp4d updates no DNS",
	"ha":         "use several dhcp4d with pools of their own, or one store for two (operating.md, database.md)",
	"host_cache": "reservations are in memory", "host_cmds": "reservations are changed in the document or in its file, and by a reload",
	"lease_cmds": "dhcp4d leases and the API do its work", "lease_query": "the API answers people and programs; routers are not answered",
	"limits":  "limit of a subnet counts leases of an attachment point, and the hook ratelimit of dhcp6d messages",
	"mysql":   "MySQL is not supported; DHCP4D_STORE may be a PostgreSQL database",
	"pgsql":   "DHCP4D_STORE=postgres://… is the store of leases; reservations stand in the document",
	"perfmon": "metrics have histograms", "ping_check": "on a 4o6 link no client is reached by IPv4",
	"radius": "dhcp4d-radius does its work (radius.md)",
	"rbac":   "the token of the API allows all", "stat_cmds": "metrics and dhcp4d subnets do its work",
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

// ruleLine is a rule, and what it comes from.
type ruleLine struct {
	text string
	from *value
}

// checkRules takes out the rules that the program refuses.
func (c *converter) checkRules() {
	problems := map[*value]error{}
	octets := 0
	for i, r := range c.rules {
		switch octets += len(r.text) + 1; {
		case i >= rule.MaxRules:
			problems[r.from] = fmt.Errorf("there are %d before it; put what they have in common into classes", rule.MaxRules)
		case octets > rule.MaxText:
			problems[r.from] = fmt.Errorf("all rules together have more than %d octets", rule.MaxText)
		}
	}
	c.findRefused(c.rules[:len(c.rules)-len(problems)], problems)
	var from []*value
	kept := c.rules[:0]
	for _, r := range c.rules {
		if problems[r.from] == nil {
			kept = append(kept, r)
		} else {
			from = append(from, r.from)
		}
	}
	c.rules = kept
	if len(from) > 0 {
		c.retract(from...)
	}
	for _, v := range from {
		c.left(v, "dhcp4d refuses the rule: %v", problems[v])
	}
	if len(c.rules) > 0 {
		c.hooks = append(c.hooks, "rules")
	}
}

// findRefused notes why the program refuses rules. It asks about all at once, and about halves of
// them if something is refused: that is seldom more than a few.
func (c *converter) findRefused(rules []ruleLine, problems map[*value]error) {
	if len(rules) == 0 {
		return
	}
	var text strings.Builder
	for _, r := range rules {
		text.WriteString(r.text + "\n")
	}
	err := c.refuses(strings.TrimSuffix(text.String(), "\n"))
	switch half := len(rules) / 2; {
	case err == nil:
	case half == 0:
		problems[rules[0].from] = err
	default:
		c.findRefused(rules[:half], problems)
		c.findRefused(rules[half:], problems)
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
