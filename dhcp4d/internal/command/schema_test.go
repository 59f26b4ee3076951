package command

import (
	"os"
	"strings"
	"testing"
)

// TestSchemaIsPrinted compares what the command prints with the files that are shipped.
func TestSchemaIsPrinted(t *testing.T) {
	for file, args := range map[string][]string{
		"subnets.schema.json":           nil,
		"reservations-file.schema.json": {"-reservations-file"},
	} {
		want, err := os.ReadFile("../../../docs/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := run(t, nil, append([]string{"schema"}, args...)...); err != nil || out != string(want) {
			t.Errorf("%v: %v, %d octets, want the %d of docs/%s", args, err, len(out), len(want), file)
		}
	}
	if _, err := run(t, nil, "schema", "subnets"); err == nil || !strings.Contains(err.Error(), "is not understood") {
		t.Error(err)
	}
}
