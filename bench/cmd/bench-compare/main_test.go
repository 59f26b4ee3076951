package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/bench/compare"
)

func TestWhatWasMeasuredIsReported(t *testing.T) {
	broken := errors.New("the second round failed\nand the daemons said a lot")
	runs := []compare.Run{{Subject: compare.Ours, Load: compare.Load{InFlight: 64}, CPU: 7}}
	for _, tt := range []struct {
		name     string
		runs     []compare.Run
		failed   error
		reported bool
		says     string
	}{
		{"all runs", runs, nil, true, ""},
		{"the runs before a failure", runs, broken, true, "failed after 1 runs: the second round failed\n"},
		{"nothing, if there was no run", nil, broken, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := compare.Result{Runs: tt.runs, Options: compare.Options{Subjects: []string{compare.Ours}, Windows: []int{64}}}
			var table strings.Builder
			out := filepath.Join(t.TempDir(), "report")
			if err := report(&r, tt.failed, &table, out); !errors.Is(err, tt.failed) {
				t.Errorf("the error is %v, want %v", err, tt.failed)
			}
			for _, suffix := range []string{".txt", ".json", ".svg"} {
				if _, err := os.Stat(out + suffix); (err == nil) != tt.reported {
					t.Errorf("the report%s: %v, want one: %t", suffix, err, tt.reported)
				}
			}
			if got := table.String(); (got != "") != tt.reported || !strings.Contains(got, tt.says) ||
				strings.Contains(got, "said a lot") {
				t.Errorf("the table is %q", got)
			}
		})
	}
}
