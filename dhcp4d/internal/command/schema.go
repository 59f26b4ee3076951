package command

import (
	"fmt"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
)

// schema prints a JSON Schema for editors.
func (c *call) schema(args []string) error {
	f := c.flags("schema")
	file := f.Bool("reservations-file", false, "that of a file of reservations, each line an object of its columns")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("schema: %q is not understood; the schema is that of the subnets document, with "+
			"-reservations-file that of the file", f.Arg(0))
	}
	schema := config.Schema()
	if *file {
		schema = config.ReservationsSchema()
	}
	_, err := c.stdout.Write(schema)
	return err
}
