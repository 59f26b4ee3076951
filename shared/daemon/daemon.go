// Package daemon is the frame of both programs: command line, signals, logging, the HTTP servers
// for metrics and health, and the life of the components.
//
// A daemon's Serve function makes the components that do the work. The frame starts them, waits for
// them, and stops all when the first one fails. It reads no packets, and no variables other than
// [Settings].
//
// A program's main is:
//
//	func main() { daemon.Main(run) }
//
//	func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
//		return daemon.Program[config.Config]{…}.Run(ctx, args, environ, stdout, stderr)
//	}
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/exit"
	"github.com/dhcp4o6/dhcp4o6/shared/manual"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
)

// Settings are the variables of the frame. A daemon's configuration nests them and sets
// MetricsListen, which has another default in each daemon.
type Settings struct {
	LogLevel      Level         `env:"LOG_LEVEL" envDefault:"info" reload:"true" kind:"debug, info, warn or error" desc:"least level of what is logged"`
	LogFormat     Format        `env:"LOG_FORMAT" kind:"tint, json or text" desc:"form of the log: tint is for people, json for machines; unset means tint on a terminal, else json"`
	DebugListen   config.Listen `env:"DEBUG_LISTEN" desc:"where /debug/pprof is served; whoever reaches it can read the daemon's memory"`
	MetricsListen config.Listen
}

// Level is a slog.Level in a variable.
type Level struct{ slog.Level }

// UnmarshalText accepts what slog.Level accepts. Its error is written for operators.
func (l *Level) UnmarshalText(text []byte) error {
	if l.Level.UnmarshalText(text) != nil {
		return fmt.Errorf("there is no level %q", text)
	}
	return nil
}

// Config is a daemon's configuration.
type Config interface {
	// Settings returns the variables of the frame.
	Settings() Settings
	// Variables returns every variable with the value in effect.
	Variables() []config.Variable
	// Warnings returns what is valid and probably not meant.
	Warnings() []string
}

// Program is a daemon.
type Program[C Config] struct {
	Daemon  drop.Daemon
	Version string
	About   string // one line
	// Load reads the configuration from an environment. It returns all mistakes together. Even then
	// the configuration has its Variables.
	Load func(environ []string) (C, error)
	// Serve does the daemon's work until the context ends, usually by [Runtime.Run].
	Serve func(ctx context.Context, rt *Runtime, c C) error
	// Host returns warnings for -check about what the configuration needs and this host does not
	// have, such as interfaces and addresses. It may be nil.
	Host func(c C) []string
	// Switches are flags that set a variable and serve.
	Switches []Switch
	// Commands are what the program can do instead of serving.
	Commands []Command
}

// Switch is a flag that sets a variable for one run.
type Switch struct {
	Flag     string // with its hyphen
	Variable string // as in an environment: NAME=value
	About    string // how the program then serves, in a few words
}

// Command is a first word of the command line, and what it does.
type Command struct {
	Name  string
	About string // one line
	// Actions are the words that must follow, nil if none must.
	Actions []string
	// Run gets the arguments after the word. With -h it prints its help.
	Run func(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error
}

// Run does what the command line says. Without an argument it serves until the context ends or a
// signal stops it.
func (p Program[C]) Run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	name := metric.Namespace(p.Daemon)
	for _, s := range p.Switches {
		if len(args) == 1 && "-"+strings.TrimLeft(args[0], "-") == s.Flag {
			return p.serve(ctx, append(slices.Clip(environ), s.Variable), stderr)
		}
	}
	for _, c := range p.Commands {
		if len(args) > 0 && args[0] == c.Name {
			return c.Run(ctx, args[1:], environ, stdout, stderr)
		}
	}
	if len(args) > 0 && args[0] == manual.Word {
		m, err := p.manual(ctx)
		if err != nil {
			return err
		}
		return m.Write(stdout, args[1:])
	}
	command := ""
	if len(args) > 0 {
		command = "-" + strings.TrimLeft(args[0], "-")
		if len(args) > 1 || !strings.HasPrefix(args[0], "-") {
			command = "?"
		}
	}
	switch command {
	case "":
		return p.serve(ctx, environ, stderr)
	case "-check":
		c, err := p.Load(environ)
		if err != nil {
			return err
		}
		if err := config.WriteEffective(stdout, c.Variables()); err != nil {
			return err
		}
		// Warnings come last: the document may fill more than a screen.
		for _, w := range slices.Concat(c.Warnings(), p.host(c)) {
			if _, err := fmt.Fprintf(stderr, "%s: warning: %s\n", name, w); err != nil {
				return err
			}
		}
		return nil
	case "-health":
		c, err := p.Load(environ)
		if err != nil {
			return err
		}
		return health(ctx, c.Settings().MetricsListen, stdout)
	case "-h", "-help":
		c, _ := p.Load(nil) // an empty environment lacks required variables; the table is complete
		return p.help(stdout, name, c.Variables())
	case "-version":
		_, err := fmt.Fprintf(stdout, "%s %s (%s, %s)\n", name, p.Version, metric.Revision(), runtime.Version())
		return err
	}
	return fmt.Errorf("unknown arguments %q: %s -h lists those that there are, "+
		"everything else is in environment variables", args, name)
}

// host returns the warnings about this host.
func (p Program[C]) host(c C) (warnings []string) {
	prefix := strings.ToUpper(metric.Namespace(p.Daemon)) + "_"
	for variable, at := range map[string]config.Listen{
		"METRICS_LISTEN": c.Settings().MetricsListen, "DEBUG_LISTEN": c.Settings().DebugListen,
	} {
		if w := Listens(prefix+variable, at); w != "" {
			warnings = append(warnings, w)
		}
	}
	slices.Sort(warnings)
	if p.Host != nil {
		warnings = append(warnings, p.Host(c)...)
	}
	return warnings
}

// questions returns the flags with which the program answers something and does not serve.
func questions() []manual.Flag {
	return []manual.Flag{
		{Name: "-check", About: "check the configuration and print what is in effect"},
		{Name: "-health", About: "ask the running daemon of the same environment whether it lives"},
		{Name: "-version", About: "print the version"},
		{Name: "-h", About: "print the commands and variables"},
	}
}

// manual describes the program.
func (p Program[C]) manual(ctx context.Context) (*manual.Program, error) {
	c, _ := p.Load(nil) // an empty environment lacks required variables; the table is complete
	m := &manual.Program{
		Name: metric.Namespace(p.Daemon), Section: 8, About: p.About, Groups: map[string]string{},
		Description: []string{
			"Without an argument the program serves until a signal stops it. " +
				"All its settings are variables of the environment.",
			"X_FILE may name a file that holds the value of any variable X, except that both may not be set; " +
				"empty means unset. What is reloadable and given by file is read again on SIGHUP.",
		},
		Statuses: []manual.Status{
			{Code: 0, About: "Success"}, {Code: exit.Failed, About: "Any other error"},
			{Code: exit.StatusNotFound, About: "The answer is known: there is no such thing"},
			{
				Code:  exit.StatusCannotAsk,
				About: "The answer is not known: who knows it, or what holds it, cannot be read",
			},
		},
	}
	for _, s := range p.Switches {
		m.Switches = append(m.Switches, manual.Flag{Name: s.Flag, About: "serve " + s.About})
	}
	m.Switches = append(m.Switches, questions()...)
	for _, v := range c.Variables() {
		m.Variables = append(m.Variables, manual.Variable{
			Name: v.Name, Kind: v.Kind, Default: v.Default, About: v.Meaning,
		})
	}
	var explain []func(c *manual.Collector) error
	for _, command := range p.Commands {
		calls := [][]string{{"-h"}}
		if command.Actions != nil {
			calls, m.Groups[command.Name] = nil, command.About
			for _, a := range command.Actions {
				calls = append(calls, []string{a, "-h"})
			}
		}
		for _, args := range calls {
			explain = append(explain,
				func(c *manual.Collector) error { return command.Run(ctx, args, nil, io.Discard, c) })
		}
	}
	var err error
	m.Commands, err = manual.Describe(explain...)
	return m, err
}

func (p Program[C]) help(w io.Writer, name string, vs []config.Variable) error {
	type line struct{ argument, about string }
	lines := []line{{"", "serve"}}
	for _, s := range p.Switches {
		lines = append(lines, line{s.Flag, "serve " + s.About})
	}
	for _, f := range questions() {
		lines = append(lines, line{f.Name, f.About})
	}
	for _, c := range p.Commands {
		lines = append(lines, line{c.Name, c.About + "; " + c.Name + " -h tells more"})
	}
	lines = append(lines, line{manual.Word, manual.About})
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n", name, p.About)
	for _, l := range lines {
		fmt.Fprintf(&b, "  %s %-9s  %s\n", name, l.argument, l.about)
	}
	b.WriteString(`
Environment variables. X_FILE may name a file that holds the value of any variable X,
except that both may not be set; empty means unset. What is reloadable and given by
file is read again on SIGHUP.

`)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	return config.WriteHelp(w, vs)
}

// Main runs a program, prints what went wrong and exits with the status of package exit.
func Main(run func(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error) {
	err := run(context.Background(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	if err == nil {
		return
	}
	if _, ok := errors.AsType[failure](err); ok {
		time.AfterFunc(time.Second, func() { os.Exit(exit.Code(err)) }) // if nobody reads the report
	}
	report(os.Stderr, os.Args[0], err)
	os.Exit(exit.Code(err))
}

// report prints one line per mistake.
func report(w io.Writer, program string, err error) {
	lines := err.Error()
	if mistakes, ok := errors.AsType[config.Mistakes](err); ok {
		lines = mistakes.Error()
	}
	program = program[strings.LastIndexByte(program, '/')+1:]
	for line := range strings.Lines(lines) {
		// Nobody is left to report an error to.
		_, _ = fmt.Fprintf(w, "%s: %s\n", program, strings.TrimSuffix(line, "\n"))
	}
}
