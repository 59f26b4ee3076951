// Package flame draws where a process spends its time: a flame graph of stacks that perf has
// sampled, as SVG without scripts.
//
// Each box is a function. It is as wide as its share of the samples, and stands on its caller.
// Boxes that are too narrow to see are left out.
package flame

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A Node is a function, called through one path from the root, and what it called.
type Node struct {
	Name    string
	Samples int // of this path, its own and those of what it called
	Calls   map[string]*Node
}

func (n *Node) call(name string) *Node {
	c := n.Calls[name]
	if c == nil {
		c = &Node{Name: name, Calls: make(map[string]*Node)}
		if n.Calls == nil {
			n.Calls = make(map[string]*Node)
		}
		n.Calls[name] = c
	}
	return c
}

// Read folds the output of perf script -F comm,ip,sym. A sample is a line with the name of the
// thread, one line for each function from the innermost on, and an empty line.
func Read(r io.Reader, name string) (*Node, error) {
	root := &Node{Name: name}
	var stack []string // innermost first
	inSample := false
	end := func() {
		if !inSample {
			return
		}
		at := root
		at.Samples++
		for _, f := range slices.Backward(stack) {
			at = at.call(f)
			at.Samples++
		}
		stack, inSample = stack[:0], false
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "":
			end()
		case !inSample: // the line with the thread
			inSample = true
		default:
			if _, f, ok := strings.Cut(line, " "); ok {
				stack = append(stack, tidy(f))
			}
		}
	}
	end()
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading stacks: %w", err)
	}
	return root, nil
}

// tidy shortens a function's name to the part that distinguishes it.
func tidy(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 && !strings.Contains(name[i:], "]") {
		name = name[i+1:]
	}
	return name
}

const (
	width  = 1200
	height = 16
	least  = 0.004 // boxes with a smaller share of the samples are left out
)

// Draw writes the graph, with the root at the bottom.
func (n *Node) Draw(w io.Writer, title string) error {
	var b strings.Builder
	depth := n.depth(n.Samples)
	bottom := 30 + depth*height
	n.draw(&b, n.Samples, 0, bottom)
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" `+
		`font-family="sans-serif" font-size="10"><rect width="100%%" height="100%%" fill="white"/>`+
		`<text x="4" y="16" font-size="12">%s, %d samples</text>`+"\n%s</svg>\n",
		width, bottom+height+4, escape(title), n.Samples, b.String())
	return err
}

func (n *Node) wide(all int) bool { return float64(n.Samples) >= least*float64(all) }

func (n *Node) depth(all int) (deepest int) {
	for _, c := range n.Calls {
		if c.wide(all) {
			deepest = max(deepest, 1+c.depth(all))
		}
	}
	return deepest
}

func (n *Node) draw(b *strings.Builder, all int, from float64, y int) {
	share := float64(n.Samples) / float64(max(all, 1))
	w := share * width
	fmt.Fprintf(b, `<g><title>%s, %.1f %%</title>`+
		`<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s" stroke="white" stroke-width="0.5"/>`,
		escape(n.Name), 100*share, from, y, w, height-1, colour(n.Name))
	if room := int(w / 5.6); room >= 4 {
		name := n.Name
		if len(name) > room {
			name = name[:room-1] + "…"
		}
		fmt.Fprintf(b, `<text x="%.1f" y="%d">%s</text>`, from+2, y+11, escape(name))
	}
	b.WriteString("</g>\n")
	for _, c := range n.sorted() {
		if c.wide(all) {
			c.draw(b, all, from, y-height)
			from += float64(c.Samples) / float64(all) * width
		}
	}
}

// sorted returns the calls by name, so that two graphs can be compared.
func (n *Node) sorted() []*Node {
	var all []*Node
	for _, c := range n.Calls {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *Node) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// colour gives our code, Go's runtime and the kernel different colours.
func colour(name string) string {
	for _, ours := range []string{"server.", "table.", "store.", "commit.", "lease.", "reply.", "udp.", "ipc.",
		"dhcp4.", "dhcp6.", "forward.", "subnet.", "config.", "daemon.", "option.", "pool.", "hook."} {
		if strings.HasPrefix(name, ours) {
			return "#7fbf7b"
		}
	}
	for _, runtime := range []string{"runtime.", "os.", "poll.", "syscall.", "sync.", "linux.", "time.", "maps.",
		"maphash."} {
		if strings.HasPrefix(name, runtime) {
			return "#a6bddb"
		}
	}
	return "#fdae61"
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
