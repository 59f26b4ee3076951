package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAddLines(t *testing.T) {
	for _, c := range []struct {
		name           string
		old, more, sum []string
	}{
		{"counts are added", []string{"3 kills, 10 ACKs, none lost"}, []string{"4 kills, 5 ACKs, none lost"}, []string{"7 kills, 15 ACKs, none lost"}},
		{"of each line by itself", []string{"3 kills", "5 kills"}, []string{"1 kills", "10 kills"}, []string{"4 kills", "15 kills"}},
		{"adjacent counts too", []string{"(1 2)"}, []string{"(3 4)"}, []string{"(4 6)"}},
		{"times are not", []string{"first ACK after 479ms"}, []string{"first ACK after 500ms"}, []string{"first ACK after 479ms", "first ACK after 500ms"}},
		{"what is new is kept", nil, []string{"again: go test -seed 7"}, []string{"again: go test -seed 7"}},
		{"how to repeat is never added", []string{"again: go test -seed 7"}, []string{"again: go test -seed 8"}, []string{"again: go test -seed 7", "again: go test -seed 8"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := addLines(c.old, c.more); !slices.Equal(got, c.sum) {
				t.Errorf("got %q, want %q", got, c.sum)
			}
		})
	}
}

// A soak in pieces is one soak.
func TestPieces(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if pieces, err := readPieces(dir); err != nil || len(pieces) != 0 {
		t.Fatalf("at first there are %v, error %v", pieces, err)
	}
	began := time.Date(2026, 11, 28, 20, 0, 0, 0, time.UTC)
	first := piece{began, time.Hour, "aaaa", []result{{"kills", time.Minute, []string{"3 kills"}, ""}, {"FuzzParse of x", time.Second, []string{"execs: 10"}, ""}}}
	second := piece{began.Add(3 * time.Hour), 2 * time.Hour, "bbbb", []result{{"kills", time.Minute, []string{"4 kills"}, "exit status 1"}}}
	for _, p := range []piece{first, second} {
		if err := p.write(dir); err != nil {
			t.Fatal(err)
		}
	}
	pieces, err := readPieces(dir)
	if err != nil || len(pieces) != 2 || pieces[0].Commit != "aaaa" {
		t.Fatalf("read %+v, error %v", pieces, err)
	}
	text := report(pieces, []string{"kills", "FuzzParse of x", "power cuts"})
	for _, want := range []string{"commit aaaa, bbbb, 3h0m0s in total", "in 2 pieces", "| kills | 2m0s | **failed**: 7 kills |", "| FuzzParse of x | 1s | execs: 10 |", "something failed**, but it is not complete", "| power cuts | 0s | not run yet |"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "x.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readPieces(dir); err == nil || !strings.Contains(err.Error(), "x.json") {
		t.Errorf("a piece that cannot be read: %v", err)
	}
}
