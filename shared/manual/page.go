package manual

import (
	"fmt"
	"strings"
)

// roff is a text in a manual page.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "…", "...", "–", `\(en`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return strings.ReplaceAll(s, "\n", "\n.br\n")
}

// columns is how long a line of a manual page may be, in octets, for mandoc to find no fault.
const columns = 80

// fold breaks long lines of text at blanks. A page fills its lines anew, so it looks the same.
func fold(page string) string {
	var b strings.Builder
	for line := range strings.Lines(page) {
		if len(line) <= columns || line[0] == '.' {
			b.WriteString(line)
			continue
		}
		n := 0
		for i, word := range strings.Fields(line) {
			switch {
			case i == 0:
			case n+1+len(word) <= columns:
				b.WriteByte(' ')
				n++
			default:
				b.WriteByte('\n')
				if n = 0; word[0] == '.' {
					word = `\&` + word // no macro
				}
			}
			b.WriteString(word)
			n += len(word)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// page is the manual page of a program, in the macros man(7).
func (p *Program) page() string {
	var w pageWriter
	w.line(`.TH %s %d "" dhcp4o6 "DHCPv4 over DHCPv6"`, strings.ToUpper(p.Name), p.Section)
	w.line(".SH NAME")
	w.line(`%s \- %s`, roff(p.Name), roff(p.About))
	w.line(".SH SYNOPSIS")
	w.line("%s", strings.Join(p.calls(), "\n.br\n"))
	w.line(".SH DESCRIPTION")
	for i, d := range p.Description {
		if i > 0 {
			w.line(".PP")
		}
		w.line("%s", roff(d))
	}
	if len(p.Switches) > 0 {
		w.line(".SH OPTIONS")
		for _, s := range p.Switches {
			w.line(".TP\n.B %s\n%s", roff(s.Name), roff(s.About))
		}
	}
	if p.first() != nil {
		w.line(".SH COMMANDS")
	} else {
		w.line(".SH OPTIONS")
	}
	for i := range p.Commands {
		w.command(p.Name, &p.Commands[i])
	}
	if len(p.Variables) > 0 {
		w.line(".SH ENVIRONMENT")
		for i := range p.Variables {
			w.variable(&p.Variables[i])
		}
	}
	w.line(".SH EXIT STATUS")
	for _, s := range p.Statuses {
		w.line(".TP\n.B %d\n%s.", s.Code, roff(s.About))
	}
	return fold(w.String())
}

// calls returns the ways to call the program.
func (p *Program) calls() (calls []string) {
	if p.first() != nil {
		calls = append(calls, ".B "+roff(p.Name))
	}
	for _, s := range p.Switches {
		calls = append(calls, ".B "+roff(p.Name+" "+s.Name))
	}
	for i := range p.Commands {
		call := ".B " + roff(strings.TrimSpace(p.Name+" "+p.Commands[i].Words))
		if a := p.Commands[i].Arguments; a != "" {
			call += "\n" + roff(a)
		}
		calls = append(calls, call)
	}
	return calls
}

// pageWriter writes the lines of a manual page.
type pageWriter struct{ strings.Builder }

func (w *pageWriter) line(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }

// command writes about a command of a program, and its flags.
func (w *pageWriter) command(program string, c *Command) {
	if c.Words != "" {
		w.line(".SS %s", roff(program+" "+c.Words))
		w.line("%s.", roff(strings.TrimSuffix(c.About, ".")))
		if c.More != "" {
			w.line(".PP\n%s", roff(c.More))
		}
	}
	for _, f := range c.Flags {
		w.line(".TP")
		if f.Value == "" {
			w.line(`.B \-%s`, roff(f.Name))
		} else {
			w.line(`.BI \-%s " %s"`, roff(f.Name), roff(strings.ReplaceAll(f.Value, `"`, "")))
		}
		about := roff(f.About)
		if f.Default != "" && !strings.Contains(f.About, "default") {
			about += " (default " + roff(f.Default) + ")"
		}
		w.line("%s", about)
	}
}

// variable writes about a variable of the environment.
func (w *pageWriter) variable(v *Variable) {
	w.line(".TP\n.B %s", roff(v.Name))
	about := roff(v.About) + ". Value: " + roff(v.Kind)
	if v.Default != "" {
		about += "; default: " + roff(v.Default)
	}
	w.line("%s.", about)
}
