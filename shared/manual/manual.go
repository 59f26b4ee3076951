// Package manual tells how a program is called: its help, its manual page, and what completes its
// command line in a shell. All of them are made from one description, the flags that the program
// reads its command line with.
//
// A command makes its flags by [Flags]. With -h they explain themselves. If what they write to is a
// [Collector], they are given to it instead of being written: so [Describe] gets the description of
// a program by calling each of its commands with -h.
package manual

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Command is a command of a program, or a program without commands.
type Command struct {
	Words     string // as in "leases list"; empty for a program without commands
	Arguments string // what follows the words, as in "[-json] ADDRESS"
	About     string // what it does, one line
	More      string // further lines of help, may be empty
	Flags     []Flag
}

// Flag is a flag of a command.
type Flag struct {
	Name, Value string // Value is what its value is, empty if it has none
	About       string
	Default     string   // empty if it is not worth telling
	Choices     []string // the values that it may have, nil if there are many
}

// Program is a program.
type Program struct {
	Name        string
	Section     int    // of the manual
	About       string // one line
	Description []string
	Switches    []Flag // flags that the program takes in place of a command
	Commands    []Command
	Groups      map[string]string // what commands with one first word are about
	Variables   []Variable
	Statuses    []Status
}

// Variable is a variable of the environment.
type Variable struct{ Name, Kind, Default, About string }

// Status is a status that a program ends with.
type Status struct {
	Code  int
	About string
}

// Collector is given the description of commands that are called with -h. As a writer it takes
// everything.
type Collector struct{ commands []Command }

// Write takes what a command says beside its description.
func (c *Collector) Write(p []byte) (int, error) { return len(p), nil }

// Flags makes the flags of a command of a program. They explain themselves to w, which is standard
// error.
func Flags(program string, about Command, w io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet(strings.TrimSpace(program+" "+about.Words), flag.ContinueOnError)
	f.SetOutput(w)
	f.Usage = func() {
		if c, ok := w.(*Collector); ok {
			about.Flags = of(f)
			c.commands = append(c.commands, about)
			return
		}
		usage := strings.TrimSpace(f.Name() + " " + about.Arguments)
		_, _ = fmt.Fprintf(w, "usage: %s\n%s\n", usage, about.About) // it can be said nowhere else
		if about.More != "" {
			_, _ = fmt.Fprintln(w, about.More)
		}
		f.PrintDefaults()
	}
	Brief(f, about.Arguments)
	return f
}

// Brief has flags say one line after a mistake, and all about them only with -h. Whoever parses
// says what is wrong, and a long help would hide that.
func Brief(f *flag.FlagSet, arguments string) {
	help, w := f.Usage, f.Output()
	var wrong mistake
	f.SetOutput(&wrong)
	f.Usage = func() {
		if wrong {
			_, _ = fmt.Fprintf(w, "usage: %s (-h tells more)\n", strings.TrimSpace(f.Name()+" "+arguments))
			return
		}
		f.SetOutput(w)
		help()
	}
}

// mistake notes that flags have written something: that is what is wrong with a command line.
type mistake bool

// Write implements io.Writer.
func (m *mistake) Write(p []byte) (int, error) {
	*m = true
	return len(p), nil
}

// of describes flags.
func of(f *flag.FlagSet) (all []Flag) {
	f.VisitAll(func(x *flag.Flag) {
		value, usage := flag.UnquoteUsage(x)
		one := Flag{Name: x.Name, Value: value, About: usage}
		if b, ok := x.Value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() {
			one.Value = ""
		}
		if c, ok := x.Value.(interface{ Choices() []string }); ok {
			one.Choices = c.Choices()
		}
		switch x.DefValue {
		case "", "0", "false", "0s", "invalid IP", "-1":
		default:
			one.Default = x.DefValue
		}
		all = append(all, one)
	})
	return all
}

// Choice is the value of a flag that has one of few values. It takes others too: who is asked says
// what is wrong with them.
type Choice struct {
	Value string
	Of    []string
}

// String is the value.
func (c *Choice) String() string {
	if c == nil {
		return ""
	}
	return c.Value
}

// Set takes a value.
func (c *Choice) Set(s string) error {
	c.Value = s
	return nil
}

// Choices are the values that there are.
func (c *Choice) Choices() []string { return c.Of }

// Describe returns the commands that explain says when it is called with -h and standard error is
// the collector: in the order in which they are called.
func Describe(explain ...func(c *Collector) error) ([]Command, error) {
	var c Collector
	for _, e := range explain {
		if err := e(&c); err != nil {
			return nil, err
		}
	}
	return c.commands, nil
}

// shells are those that we have completions for.
var shells = []string{"bash", "zsh", "fish"}

// Word is the argument by which a program tells of itself: manual man, manual bash, and so on.
const Word = "manual"

// About says what the argument does.
const About = "write what completes commands in bash, zsh or fish, or the manual page (man)"

// own are the commands by which a program tells of itself.
func own() []Command {
	all := []Command{{Words: Word + " man", About: "write the manual page"}}
	for _, s := range shells {
		all = append(all, Command{Words: Word + " " + s, About: "write what completes commands in " + s})
	}
	return all
}

// Parse parses the arguments of a program without commands. If they ask for its manual page or for
// a completion, it writes that to w instead. It reports done if the program has nothing more to do,
// also after an error. P needs neither name nor flags: these are those of f.
func Parse(p Program, f *flag.FlagSet, args []string, w io.Writer) (done bool, err error) {
	if len(args) == 0 || args[0] != Word {
		Brief(f, "[flags]")
		err = f.Parse(args)
		return err != nil, err
	}
	p.Name, p.Section = f.Name(), 1
	p.Commands = []Command{{Arguments: "[flags]", Flags: of(f)}}
	return true, p.Write(w, args[1:])
}

// Write writes the program's page (man), or what a shell needs (bash, zsh, fish).
func (p *Program) Write(w io.Writer, args []string) error {
	if len(p.Commands) > 0 && p.Commands[0].Words != "" && p.second(Word) == nil {
		p.Commands = append(p.Commands, own()...)
		if p.Groups == nil {
			p.Groups = map[string]string{}
		}
		p.Groups[Word] = About
	}
	what := ""
	if len(args) == 1 {
		what = strings.TrimLeft(args[0], "-")
	}
	var text string
	switch what {
	case "man":
		text = p.page()
	case "bash":
		text = p.bash()
	case "zsh":
		text = p.zsh()
	case "fish":
		text = p.fish()
	default:
		usage := fmt.Sprintf("%s %s man|%s", p.Name, Word, strings.Join(shells, "|"))
		if what == "h" || what == "help" {
			text = "usage: " + usage + "\n"
			break
		}
		if what != "" {
			return fmt.Errorf("%s: %q is not understood; say what to write: %s", Word, what, usage)
		}
		return fmt.Errorf("%s: say what to write: %s", Word, usage)
	}
	_, err := io.WriteString(w, text)
	return err
}

// first are the first words of the commands, each once.
func (p *Program) first() (words []string) {
	for _, c := range p.Commands {
		if w, _, _ := strings.Cut(c.Words, " "); w != "" && !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return words
}

// second are the second words of the commands with a first word.
func (p *Program) second(first string) (words []string) {
	for _, c := range p.Commands {
		if w, rest, ok := strings.Cut(c.Words, " "); ok && w == first {
			words = append(words, rest)
		}
	}
	return words
}
