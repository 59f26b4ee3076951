//go:build budget

// Package budgettest looks for the inputs that cost a parser most.
package budgettest

import (
	"bytes"
	"encoding/hex"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

var (
	rounds = flag.Int("rounds", 3000, "how many changes of each worst input are tried")
	update = flag.Bool("update-worst", false, "write the worst inputs that were found to testdata/worst")
)

// Hold fails the test if work on any input costs more than perOctet units for each of its octets.
// The inputs are the seeds, those in testdata/worst/name.hex, and what -rounds random changes of
// the worst of them lead to: a change that costs more for each octet is kept. The changes are the
// same in every run. With -update-worst the worst input is written to the file.
func Hold(t *testing.T, name string, perOctet float64, seeds [][]byte, work func(b []byte)) {
	t.Helper()
	file := filepath.Join("testdata", "worst", name+".hex")
	if text, err := os.ReadFile(file); err == nil {
		b, err := hex.DecodeString(string(bytes.Join(bytes.Fields(text), nil)))
		if err != nil {
			t.Fatal(err)
		}
		seeds = append(seeds, b)
	}
	cost := func(b []byte) float64 {
		units := budget.Of(func() { work(bytes.Clone(b)) })
		return float64(units) / float64(max(1, len(b)))
	}
	var worst []byte
	most := -1.0
	try := func(b []byte) {
		if c := cost(b); c > most {
			worst, most = bytes.Clone(b), c
		}
	}
	for _, b := range seeds {
		try(b)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range *rounds {
		try(change(random, worst, seeds))
	}
	t.Logf("%s: at most %.1f units for each octet, of an input of %d octets", name, most, len(worst))
	if most > perOctet {
		t.Errorf("%s: %.1f units for each octet, want at most %.1f, of %x", name, most, perOctet, worst)
	}
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, wrapped(worst), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// wrapped returns b in hex, in lines of 96 digits.
func wrapped(b []byte) []byte {
	var text []byte
	for len(b) > 0 {
		n := min(len(b), 48)
		text = append(hex.AppendEncode(text, b[:n]), '\n')
		b = b[n:]
	}
	return text
}

// change returns a variant of b: octets set, removed, repeated or taken from a seed.
func change(random *rand.Rand, b []byte, seeds [][]byte) []byte {
	b = bytes.Clone(b)
	for range 1 + random.IntN(4) {
		if len(b) == 0 {
			return []byte{byte(random.Uint32())}
		}
		at := random.IntN(len(b))
		n := min(1+random.IntN(1+random.IntN(64)), len(b)-at)
		switch random.IntN(6) {
		case 0:
			b[at] = byte(random.Uint32())
		case 1:
			b[at] = []byte{0, 1, 2, 4, 12, 17, 61, 82, 87, 255}[random.IntN(10)]
		case 2:
			b = append(b[:at:at], b[at+n:]...)
		case 3: // repeat what stands here
			b = append(append(bytes.Clone(b[:at+n]), b[at:at+n]...), b[at+n:]...)
		case 4:
			seed := seeds[random.IntN(len(seeds))]
			if len(seed) == 0 {
				continue
			}
			from := random.IntN(len(seed))
			piece := seed[from : from+min(n, len(seed)-from)]
			b = append(append(bytes.Clone(b[:at]), piece...), b[at:]...)
		case 5:
			b[at]++
		}
	}
	return b
}
