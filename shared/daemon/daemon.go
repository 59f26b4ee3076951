// Package daemon is the frame of both programs: command line, signals, logging,
// the HTTP server with metrics and health, and the life of the components.
//
// It owns the process, not the work: what a daemon does is in components that
// its Serve function makes. It starts them, waits for all of them, and ends
// all when the first one fails. It reads no variable that is not in
// [Settings], and no packet.
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

	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
)

// Settings is what the frame itself needs. A daemon's configuration nests it
// and fills in MetricsListen, whose default differs.
type Settings struct {
	LogLevel      slog.Level    `env:"LOG_LEVEL" envDefault:"info" reload:"true" kind:"debug, info, warn or error" desc:"least level of what is logged"`
	LogFormat     Format        `env:"LOG_FORMAT" kind:"tint, json or text" desc:"form of the log: tint is for people, json for machines; unset means tint on a terminal, else json"`
	DebugListen   config.Listen `env:"DEBUG_LISTEN" desc:"where /debug/pprof is served; whoever reaches it can read the daemon's memory"`
	MetricsListen config.Listen
}

// Config is a daemon's configuration.
type Config interface {
	// Settings is what the frame itself needs.
	Settings() Settings
	// Variables lists every variable with the value in effect.
	Variables() []config.Variable
	// Warnings says what is valid and yet probably not meant.
	Warnings() []string
}

// Program is a daemon.
type Program[C Config] struct {
	Daemon  drop.Daemon
	Version string
	About   string // one line
	// Load makes the configuration of an environment. It returns all mistakes
	// together, and beside them a configuration whose Variables is usable.
	Load func(environ []string) (C, error)
	// Serve does the daemon's work until the context ends, usually by
	// [Runtime.Run].
	Serve func(ctx context.Context, rt *Runtime, c C) error
	// Switches are flags that serve, with a variable set.
	Switches []Switch
	// Commands are what the program does beside serving.
	Commands []Command
}

// Switch is a flag that stands for a variable, for what is wanted once and not
// to be left in an environment.
type Switch struct {
	Flag     string // with its hyphen
	Variable string // as in an environment: NAME=value
	About    string // what serving is then like, a few words
}

// Command is a word that comes first on the command line, and what it does.
type Command struct {
	Name  string
	About string // one line
	// Run gets what follows the word. It explains itself when that is -h.
	Run func(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error
}

// Run reads the command line and does what it says; without an argument it
// serves until the context ends or a signal says so.
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
		for _, w := range c.Warnings() {
			if _, err := fmt.Fprintf(stderr, "%s: warning: %s\n", name, w); err != nil {
				return err
			}
		}
		return config.WriteEffective(stdout, c.Variables())
	case "-health":
		c, err := p.Load(environ)
		if err != nil {
			return err
		}
		return health(ctx, c.Settings().MetricsListen, stdout)
	case "-h", "-help":
		c, _ := p.Load(nil) // an empty environment lacks what is required; the table is complete all the same
		return p.help(stdout, name, c.Variables())
	case "-version":
		_, err := fmt.Fprintf(stdout, "%s %s (%s, %s)\n", name, p.Version, metric.Revision(), runtime.Version())
		return err
	}
	return fmt.Errorf("unknown arguments %q: %s -h lists those that there are, everything else is in environment variables", args, name)
}

func (p Program[C]) help(w io.Writer, name string, vs []config.Variable) error {
	type line struct{ argument, about string }
	lines := []line{{"", "serve"}}
	for _, s := range p.Switches {
		lines = append(lines, line{s.Flag, "serve " + s.About})
	}
	lines = append(lines,
		line{"-check", "check the configuration and print what is in effect"},
		line{"-health", "ask the running daemon of the same environment whether it lives"},
		line{"-version", "print the version"},
		line{"-h", "print this"})
	for _, c := range p.Commands {
		lines = append(lines, line{c.Name, c.About + "; " + c.Name + " -h tells more"})
	}
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

// Main runs a program, prints what went wrong and exits.
func Main(run func(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error) {
	err := run(context.Background(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	if err == nil {
		return
	}
	report(os.Stderr, os.Args[0], err)
	os.Exit(1)
}

// report prints one line per mistake.
func report(w io.Writer, program string, err error) {
	lines := err.Error()
	if mistakes, ok := errors.AsType[config.Mistakes](err); ok {
		lines = mistakes.Error()
	}
	program = program[strings.LastIndexByte(program, '/')+1:]
	for line := range strings.Lines(lines) {
		_, _ = fmt.Fprintf(w, "%s: %s\n", program, strings.TrimSuffix(line, "\n")) // there is no other place to say it
	}
}
