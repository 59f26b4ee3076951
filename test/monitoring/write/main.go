// Write writes the dashboards and the PrometheusRule below the directory in its argument, which is
// deploy.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/dhcp4o6/dhcp4o6/test/monitoring"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "write: give the directory deploy")
		os.Exit(1)
	}
	files, err := monitoring.Files(filepath.Dir(os.Args[1]))
	for name, content := range files {
		if err == nil {
			err = os.WriteFile(filepath.Join(os.Args[1], name), content, 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "write:", err)
		os.Exit(1)
	}
}
