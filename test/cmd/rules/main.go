// Rules compares the rules in docs/rules.md with the names of the tests, and prints rules without a
// test:
//
//	go run ./test/cmd/rules [-v] [directory]
package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	verbose := flag.Bool("v", false, "list the tests of every rule")
	flag.Parse()
	root := "."
	if flag.NArg() > 0 {
		root = flag.Arg(0)
	}
	c, err := compare(root)
	if err != nil {
		fmt.Fprintln(os.Stderr, "rules:", err)
		os.Exit(1)
	}
	if *verbose {
		for _, id := range c.rules {
			fmt.Println(id, strings.Join(c.tests[id], ", "))
		}
	}
	fmt.Print(c.report())
	if !c.complete() {
		os.Exit(1)
	}
}

// A comparison has the rules that need a test and the tests that there are.
type comparison struct {
	rules   []string            // in the order of docs/rules.md
	tests   map[string][]string // directories of the packages, by rule
	missing []string            // rules without a test
	unknown []string            // rules in the names of tests that docs/rules.md does not have
}

func (c *comparison) complete() bool { return len(c.missing)+len(c.unknown) == 0 }

func (c *comparison) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rules, %d with a test\n", len(c.rules), len(c.rules)-len(c.missing))
	for _, id := range c.missing {
		fmt.Fprintf(&b, "no test: %s\n", id)
	}
	for _, id := range c.unknown {
		fmt.Fprintf(&b, "no rule: %s, of a test in %s\n", id, strings.Join(c.tests[id], ", "))
	}
	return b.String()
}

// listed finds the rule in a row of docs/rules.md.
var listed = regexp.MustCompile(`(?m)^\| ((?:` + prefixes + `)-[0-9]+) \|`)

const prefixes = `Q|RA|D4|O4|IPC|D6|RL|SW|DB|OP`

var (
	// written is how a rule appears in a test name that is a string.
	written = regexp.MustCompile(`\b(` + prefixes + `)-([0-9]+)\b`)
	// spelt is how it appears in the name of a function: TestD4_26_…, TestIPC25….
	spelt = regexp.MustCompile(`(?:^Test|_)(Q|RA|D4_|O4_|IPC|D6_|RL|SW_|DB_|OP_)_?([0-9]+)`)
)

// compare reads docs/rules.md and the tests below root.
func compare(root string) (*comparison, error) {
	list, err := os.ReadFile(filepath.Join(root, "docs", "rules.md"))
	if err != nil {
		return nil, fmt.Errorf("reading the list: %w", err)
	}
	c := &comparison{tests: make(map[string][]string)}
	for _, m := range listed.FindAllStringSubmatch(string(list), -1) {
		if slices.Contains(c.rules, m[1]) {
			return nil, fmt.Errorf("rule %s is listed twice", m[1])
		}
		c.rules = append(c.rules, m[1])
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		ids, err := named(path)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for id := range ids {
			if !slices.Contains(c.tests[id], dir) {
				c.tests[id] = append(c.tests[id], dir)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the tests: %w", err)
	}
	for _, id := range c.rules {
		if len(c.tests[id]) == 0 {
			c.missing = append(c.missing, id)
		}
	}
	for id := range maps.Keys(c.tests) {
		if !slices.Contains(c.rules, id) {
			c.unknown = append(c.unknown, id)
		}
	}
	slices.Sort(c.unknown)
	return c, nil
}

// said are the methods whose strings are no test names. A message for a failure proves nothing.
var said = map[string]bool{
	"Error": true, "Errorf": true, "Fatal": true, "Fatalf": true, "Log": true, "Logf": true,
	"Skip": true, "Skipf": true, "Print": true, "Printf": true, "Println": true, "New": true,
}

// named returns the rules in the test names of a file: in the names of its functions and in its
// strings, but not in the messages of its tests.
func named(path string) (map[string]bool, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	ids := make(map[string]bool)
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv == nil && strings.HasPrefix(n.Name.Name, "Test") {
				for _, m := range spelt.FindAllStringSubmatch(n.Name.Name, -1) {
					ids[strings.TrimSuffix(m[1], "_")+"-"+m[2]] = true
				}
			}
		case *ast.CallExpr:
			f, ok := n.Fun.(*ast.SelectorExpr)
			return !ok || !said[f.Sel.Name]
		case *ast.BasicLit:
			if n.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(n.Value)
			if err != nil {
				return true
			}
			for _, m := range written.FindAllStringSubmatch(text, -1) {
				ids[m[1]+"-"+m[2]] = true
			}
		}
		return true
	})
	return ids, nil
}
