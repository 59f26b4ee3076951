package hooks

import (
	"os"
	"testing"
	"time"
)

// TestMain gives files a minute to take the last lines of a log, because the machine may stall. A
// test of a file that takes none sets its own time.
func TestMain(m *testing.M) {
	closeWait = time.Minute
	os.Exit(m.Run())
}
