package manual

import (
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	const help = "Usage of tool:\n  -a int\n    \tnumber\n  -b\tflag\n"
	const good = "# Lab\n\n## tool\n\n    bin/tool -a 1 -b    # comment -x\n\n| `-a n` | x |\n| `-b` | y |\n\n## other\n\n| `-z` | of another |\n"
	for want, text := range map[string]string{
		"":                   good,
		"no section":         "# Lab\n",
		"does not list -b":   strings.Replace(good, "| `-b` | y |\n", "", 1),
		"lists -c":           strings.Replace(good, "| `-b`", "| `-c` | x |\n| `-b`", 1),
		"a recipe uses -q":   strings.Replace(good, "-a 1", "-q 1", 1),
		"has no recipe with": strings.Replace(good, "bin/tool -a", "bin/other -a", 1),
	} {
		got := strings.Join(compare("tool", help, text), "; ")
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("want %q, got %q", want, got)
		}
	}
}
