// Sbom writes software bills of materials for programs, as JSON in the format CycloneDX 1.6:
//
//	go run ./test/cmd/sbom -version v1.2.0 -time 1764374400 -out DIRECTORY PROGRAM...
//
// PROGRAM.cdx.json lists the modules that the linker noted in the program with their versions,
// and the version of Go. The same program gives the same octets.
package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

func main() {
	version := flag.String("version", "devel", "version of the programs")
	epoch := flag.Int64("time", 0, "when the source was committed, in seconds since 1970")
	out := flag.String("out", ".", "directory to write to")
	flag.Parse()
	for _, program := range flag.Args() {
		if err := write(*out, program, *version, time.Unix(*epoch, 0)); err != nil {
			fmt.Fprintf(os.Stderr, "sbom: %v\n", err)
			os.Exit(1)
		}
	}
}

// write writes the bill of a program into a directory.
func write(dir, program, version string, at time.Time) error {
	octets, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	info, err := buildinfo.Read(bytes.NewReader(octets))
	if err != nil {
		return fmt.Errorf("reading the modules of %s: %w", program, err)
	}
	sum := sha256.Sum256(octets)
	text, err := json.MarshalIndent(newBill(filepath.Base(program), version, hex.EncodeToString(sum[:]), info, at), "",
		"  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, filepath.Base(program)+".cdx.json"), append(text, '\n'), 0o644) //nolint:gosec // for everybody to read
}

// bill is a document of CycloneDX 1.6, as far as we fill it.
type bill struct {
	Format       string       `json:"bomFormat"`
	Spec         string       `json:"specVersion"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Timestamp string    `json:"timestamp"`
	Component component `json:"component"`
}

type component struct {
	Type    string `json:"type"`
	Ref     string `json:"bom-ref"`
	Name    string `json:"name"`
	Version string `json:"version"`
	PURL    string `json:"purl,omitempty"`
	Hashes  []hash `json:"hashes,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn,omitempty"`
}

// newBill returns the bill of a program with this SHA-256. The modules of this repository have its
// version.
func newBill(name, version, sum string, info *debug.BuildInfo, at time.Time) bill {
	b := bill{Format: "CycloneDX", Spec: "1.6", Version: 1, Metadata: metadata{
		Timestamp: at.UTC().Format(time.RFC3339),
		Component: component{Type: "application", Ref: name, Name: name, Version: version, Hashes: []hash{{"SHA-256", sum}}},
	}}
	add := func(path, version string) {
		c := component{Type: "library", Name: path, Version: version, PURL: "pkg:golang/" + path + "@" + version}
		c.Ref = c.PURL
		b.Components = append(b.Components, c)
	}
	add("std", strings.TrimPrefix(info.GoVersion, "go"))
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		if m.Version == "(devel)" || m.Version == "" {
			add(m.Path, version)
		} else {
			add(m.Path, m.Version)
		}
	}
	slices.SortFunc(b.Components, func(x, y component) int { return strings.Compare(x.Ref, y.Ref) })
	refs := make([]string, len(b.Components))
	for i, c := range b.Components {
		refs[i] = c.Ref
	}
	b.Dependencies = []dependency{{name, refs}}
	return b
}
