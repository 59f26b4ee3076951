package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHookRun(t *testing.T) {
	t.Run("a program that does not exist is said at the start", func(t *testing.T) {
		environ, _ := daemonOn(t, t.TempDir())
		err := run(t.Context(), nil, append(environ, "DHCP4D_HOOKS=run", "DHCP4D_RUN_COMMAND=/nonexistent"), os.Stdout, os.Stderr)
		if err == nil || !strings.Contains(err.Error(), "DHCP4D_RUN_COMMAND") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("both hooks serve together", func(t *testing.T) {
		environ, metrics := daemonOn(t, t.TempDir())
		program := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		serving(t, append(environ, "DHCP4D_HOOKS=run,leaselog", "DHCP4D_RUN_COMMAND="+program, "DHCP4D_LEASELOG_PATH="+filepath.Join(t.TempDir(), "log")))
		readyz(t, metrics, "running: ok")
	})
}
