package netlab

import (
	"os"
	"testing"
)

// programEnv makes the test binary of a command that command.
const programEnv = "DHCP4O6_LAB_PROGRAM"

// MainProgram is for TestMain of a command: the tests run as with [Main], and
// [Host.StartSelf] runs the command itself.
func MainProgram(m *testing.M, program func()) int {
	if os.Getenv(programEnv) != "" {
		program()
		return 0
	}
	return Main(m.Run)
}

// StartSelf runs the command that is being tested on the host, with arguments
// and exit status like the real one.
func (h *Host) StartSelf(env []string, args ...string) (*Process, error) {
	return h.Start(append([]string{programEnv + "=1"}, env...), append([]string{"/proc/self/exe"}, args...)...)
}
