package disk_test

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain has the garbage collector run more rarely: these tests open thousands of stores, each
// with little to keep, and it took a third of the processor.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	debug.SetMemoryLimit(1 << 30) // from here on it runs as often as it must
	os.Exit(m.Run())
}
