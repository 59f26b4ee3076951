// Write writes the dashboards to the directory that its argument names.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/monitor"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "write: give the directory of the dashboards")
		os.Exit(1)
	}
	for _, d := range monitor.Dashboards() {
		b, err := d.JSON()
		if err == nil {
			err = os.WriteFile(filepath.Join(os.Args[1], d.Name+".json"), b, 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "write:", err)
			os.Exit(1)
		}
	}
}
