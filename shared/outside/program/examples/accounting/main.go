// Accounting appends a line of JSON to a file for each change of a lease: accounting SOCKET FILE.
// FILE.cursor keeps how far it has come, so that nothing is missing after a pause.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"net"
	"os"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/outside/program"
)

func main() {
	file, err := os.OpenFile(os.Args[2], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	lines := json.NewEncoder(file)
	p := program.Program{Name: "accounting", Socket: os.Args[1], Cursor: os.Args[2] + ".cursor"}
	p.Told = func(e *outside.Event) error {
		return errors.Join(lines.Encode(map[string]any{
			"time":    float64(e.Time) / 1000,
			"event":   e.Event,
			"address": e.Address,
			"mac":     net.HardwareAddr(e.HWAddr).String(),
			"expires": e.Expires,
		}), file.Sync())
	}
	log.Fatal(p.Run(context.Background()))
}
