// Package expressiontest makes expressions for tests: any that the language has, over options that
// the caller names.
package expressiontest

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Generator makes random tests and values.
type Generator struct {
	Rand *rand.Rand
	// Values and Tests are operands to choose from, besides literals, functions and comparisons.
	Values, Tests []string
	// Literals are pieces of what the queries hold, so that comparisons are also true.
	Literals []string
	// Later has match, lcase and ucase generated, which Kea 2.2 does not know.
	Later bool
}

func (g *Generator) pick(of []string) string { return of[g.Rand.IntN(len(of))] }

// Test returns a test whose parts nest at most depth deep.
func (g *Generator) Test(depth int) string {
	if depth == 0 || g.Rand.IntN(4) == 0 {
		if len(g.Tests) > 0 && g.Rand.IntN(3) == 0 {
			return g.pick(g.Tests)
		}
		return g.comparison(0)
	}
	depth--
	switch g.Rand.IntN(7) {
	case 0:
		return "not " + g.atom(depth)
	case 1:
		return g.atom(depth) + " and " + g.atom(depth)
	case 2:
		return g.atom(depth) + " or " + g.atom(depth)
	case 3:
		return g.Test(depth) + " or " + g.Test(depth)
	case 4:
		return g.Test(depth) + " and " + g.Test(depth)
	case 5:
		if g.Later {
			return "match('" + g.pick([]string{".*", "[0-9a-f:]+", "a|b", "Acme.*", "(ab)*", ""}) + "', " +
				g.Value(depth) + ")"
		}
	}
	return g.comparison(depth)
}

// atom is a test that binds strongly, so that what is around it is known.
func (g *Generator) atom(depth int) string { return "(" + g.Test(depth) + ")" }

// comparison is of a value with itself in another form now and then, or it would hardly ever hold.
func (g *Generator) comparison(depth int) string {
	value := g.Value(depth)
	switch g.Rand.IntN(4) {
	case 0:
		return value + " == " + value
	case 1:
		return "substring(" + value + ", 0, 2) == substring(" + g.literal() + ", 0, 2)"
	case 2:
		return value + " == " + g.literal()
	}
	return value + " == " + g.Value(depth)
}

func (g *Generator) literal() string {
	switch g.Rand.IntN(6) {
	case 0:
		return fmt.Sprint(g.Rand.IntN(300))
	case 1:
		return fmt.Sprintf("0x%0*x", 1+g.Rand.IntN(7), g.Rand.IntN(1<<16))
	case 2:
		return g.pick([]string{"0.0.0.0", "192.0.2.1", "10.0.0.1", "2001:db8::1", "::", "::1.2.3.4", "fe80::1"})
	case 3:
		return "'" + strings.Repeat("x", g.Rand.IntN(5)) + "'"
	}
	return g.pick(g.Literals)
}

// Value returns a value whose parts nest at most depth deep.
func (g *Generator) Value(depth int) string {
	if depth == 0 || g.Rand.IntN(4) == 0 {
		if g.Rand.IntN(3) == 0 {
			return g.literal()
		}
		return g.pick(g.Values)
	}
	depth--
	number := func() int { return g.Rand.IntN(17) - 8 }
	switch g.Rand.IntN(9) {
	case 0:
		return fmt.Sprintf("substring(%s, %d, %d)", g.Value(depth), number(), number())
	case 1:
		return fmt.Sprintf("substring(%s, %d, all)", g.Value(depth), number())
	case 2:
		return fmt.Sprintf("concat(%s, %s)", g.Value(depth), g.Value(depth))
	case 3:
		return g.Value(depth) + " + " + g.Value(depth)
	case 4:
		return fmt.Sprintf("ifelse(%s, %s, %s)", g.Test(depth), g.Value(depth), g.Value(depth))
	case 5:
		return fmt.Sprintf("hexstring(%s, %s)", g.Value(depth), g.pick([]string{"':'", "'-'", "''", "', '"}))
	case 6:
		return g.conversion(depth)
	case 7:
		if g.Later {
			return fmt.Sprintf("%s(%s)", g.pick([]string{"lcase", "ucase"}), g.Value(depth))
		}
	}
	return fmt.Sprintf("split(%s, %s, %d)", g.Value(depth), g.pick([]string{"'.'", "'-'", "':'", "'ab'", "''", "0x00"}),
		g.Rand.IntN(5)-1)
}

// conversion is of a value of the right length most of the time.
func (g *Generator) conversion(depth int) string {
	value := g.Value(depth)
	switch g.Rand.IntN(5) {
	case 0:
		return g.pick([]string{"int8totext", "uint8totext"}) + "(substring(" + value + ", 0, 1))"
	case 1:
		return g.pick([]string{"int16totext", "uint16totext"}) + "(substring(" + value + " + 'zz', 0, 2))"
	case 2:
		return g.pick([]string{"int32totext", "uint32totext", "addrtotext"}) + "(substring(" + value +
			" + 'zzzz', 0, 4))"
	case 3:
		return "addrtotext(substring(" + value + " + 2001:db8::1, 0, 16))"
	}
	return g.pick([]string{"int8totext", "uint16totext", "int32totext", "addrtotext"}) + "(" + value + ")"
}
