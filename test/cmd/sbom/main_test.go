package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
	"time"
)

func TestBill(t *testing.T) {
	dir := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := write(dir, program, "v9.8.7", time.Unix(1764374400, 0)); err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(program)
	text, err := os.ReadFile(filepath.Join(dir, name+".cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var b bill
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	if c := b.Metadata.Component; b.Metadata.Timestamp != "2025-11-29T00:00:00Z" || c.Name != name || c.Version != "v9.8.7" || len(c.Hashes) != 1 {
		t.Errorf("the document is about %+v", b.Metadata)
	}
	if len(b.Dependencies) != 1 || len(b.Dependencies[0].DependsOn) != len(b.Components) {
		t.Errorf("%d components, dependencies %+v", len(b.Components), b.Dependencies)
	}
	if err := write(dir, filepath.Join(dir, name+".cdx.json"), "", time.Time{}); err == nil {
		t.Error("a file that is no program has a bill")
	}
}

func TestComponents(t *testing.T) {
	b := newBill("dhcp4d", "v2", "00", &debug.BuildInfo{GoVersion: "go1.26.8", Deps: []*debug.Module{
		{Path: "example.com/z", Version: "v1.0.0"},
		{Path: "example.com/ours", Version: "(devel)"},
		{Path: "example.com/old", Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/new", Version: "v1.1.0"}},
	}}, time.Time{})
	want := []string{"pkg:golang/example.com/new@v1.1.0", "pkg:golang/example.com/ours@v2", "pkg:golang/example.com/z@v1.0.0", "pkg:golang/std@1.26.8"}
	for i, c := range b.Components {
		if i >= len(want) || c.PURL != want[i] || c.Ref != want[i] {
			t.Errorf("component %d is %+v", i, c)
		}
	}
	if len(b.Components) != len(want) {
		t.Errorf("%d components, want %d", len(b.Components), len(want))
	}
}
