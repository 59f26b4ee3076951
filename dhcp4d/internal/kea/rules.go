package kea

import (
	"fmt"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/rule"
)

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
			problems[r.from] = fmt.Errorf("there are %d before it; put what they have in common into classes",
				rule.MaxRules)
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
