package manual

import (
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
)

// Whoever parses says what is wrong, in one line. The help would hide it.
func TestAMistakeIsNotHiddenByTheHelp(t *testing.T) {
	for _, tt := range []struct {
		name     string
		args     []string
		says     string // all of it
		contains string
		err      string
	}{
		{"a flag that there is not", []string{"-x"}, "usage: daemon leases list [-limit N] (-h tells more)\n", "", "not defined: -x"},
		{"a value that is wrong", []string{"-limit", "many"}, "usage: daemon leases list [-limit N] (-h tells more)\n", "", `"many" for flag -limit`},
		{"the question for help", []string{"-h"}, "", "at most so many", flag.ErrHelp.Error()},
		{"no mistake", []string{"-limit", "1"}, "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var said strings.Builder
			f := Flags("daemon", Command{Words: "leases list", Arguments: "[-limit N]", About: "list leases"}, &said)
			f.Int("limit", 0, "at most so many")
			err := f.Parse(tt.args)
			if (err == nil) != (tt.err == "") || (err != nil && !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("the error is %v, want %q", err, tt.err)
			}
			if (tt.contains == "" && said.String() != tt.says) || !strings.Contains(said.String(), tt.contains) {
				t.Errorf("it said %q", said.String())
			}
		})
	}
}

func TestAProgramWithoutCommandsIsBriefToo(t *testing.T) {
	for arg, want := range map[string]string{"-x": "usage: tool [flags] (-h tells more)\n", "-h": "say more"} {
		var said strings.Builder
		f := flag.NewFlagSet("tool", flag.ContinueOnError)
		f.SetOutput(&said)
		f.Bool("v", false, "say more")
		done, err := Parse(Program{}, f, []string{arg}, io.Discard)
		if !done || errors.Is(err, flag.ErrHelp) != (arg == "-h") || err == nil || !strings.Contains(said.String(), want) ||
			strings.Contains(said.String(), "say more") != (arg == "-h") {
			t.Errorf("%s: %t, %v, said %q", arg, done, err, said.String())
		}
	}
}
