// Package netnstest gives tests a lab of [netns] that ends with the test.
package netnstest

import (
	"flag"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/skip"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
)

// parallel is the number of parallel tests of a package. Tests on networks mostly wait, so there
// may be more of them than processors.
const parallel = "6"

// Main is for the TestMain of a package whose tests use labs:
//
//	func TestMain(m *testing.M) { os.Exit(netnstest.Main(m)) }
func Main(m *testing.M) int {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", parallel); err != nil {
			panic(err) // package testing has this flag
		}
	}
	return netns.Main(m.Run)
}

// Lab returns a lab that ends with the test. Where labs cannot be made it skips the test and says
// why. With CI=true it fails the test instead, because a skip there would hide that nothing was
// proved.
func Lab(t testing.TB) *netns.Lab {
	t.Helper()
	t.TempDir() // what is cleaned up first was registered last: daemons end before their files are removed
	l, err := netns.New()
	if err != nil {
		Skip(t, err.Error())
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("closing the lab: %v", err)
		}
	})
	return l
}

// Skip is [skip.Test].
func Skip(t testing.TB, why string) {
	t.Helper()
	skip.Test(t, why)
}
