package skip_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/skip"
)

// told is a test that notes what it is told.
type told struct {
	testing.TB
	failed, skipped string
}

func (t *told) Helper() {}

func (t *told) Fatalf(format string, args ...any) {
	t.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (t *told) Skip(args ...any) {
	t.skipped = fmt.Sprint(args...)
	runtime.Goexit()
}

func TestSkip(t *testing.T) {
	for ci, fails := range map[string]bool{"": false, "false": false, "true": true} {
		t.Setenv("CI", ci)
		var x told
		done := make(chan struct{})
		go func() {
			defer close(done)
			skip.Test(&x, "no Kea")
		}()
		<-done
		if (x.failed != "") != fails || (x.skipped == "no Kea") == fails {
			t.Errorf("CI=%q: failed %q, skipped %q", ci, x.failed, x.skipped)
		}
	}
}
