package netlab

import (
	"os"
	"testing"
)

// Test returns a lab that ends with the test. Where labs cannot be made it
// skips the test and says why; with CI=true it fails instead, because there a
// skip would hide that nothing was proved.
func Test(t testing.TB) *Lab {
	t.Helper()
	l, err := New()
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

// Skip skips the test, or fails it when CI=true.
func Skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("must not be skipped when CI=true: %s", why)
	}
	t.Skip(why)
}
