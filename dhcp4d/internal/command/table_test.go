package command

import (
	"fmt"
	"strings"
	"testing"
)

func TestColumnsFitTheirCells(t *testing.T) {
	var b strings.Builder
	table := table{w: &b, limit: 10}
	write := func(cells ...string) {
		t.Helper()
		if err := table.row(cells...); err != nil {
			t.Fatal(err)
		}
	}
	write("A", "CLIENT", "POINT")
	write("1", "nördlich", "interface with a long name")
	write("22", strings.Repeat("ö", 11), "x")
	if b.Len() > 0 {
		t.Errorf("written before the widths are known: %q", &b)
	}
	if err := table.flush(); err != nil {
		t.Fatal(err)
	}
	write("333", "y", "z")
	want := "A   CLIENT      POINT\n" +
		"1   nördlich    interface with a long name\n" +
		"22  " + strings.Repeat("ö", 9) + "…  x\n" +
		"333  y           z\n"
	if b.String() != want {
		t.Errorf("%s\nwant\n%s", &b, want)
	}
}

// Rows are not collected without end.
func TestALongTableIsWrittenAsItComes(t *testing.T) {
	var b strings.Builder
	table := table{w: &b}
	for i := range 3 * heldRows {
		if err := table.row(fmt.Sprint(i), "x"); err != nil {
			t.Fatal(err)
		}
		if len(table.held) >= heldRows {
			t.Fatalf("%d rows are held", len(table.held))
		}
	}
	if n := strings.Count(b.String(), "\n"); n != 3*heldRows {
		t.Errorf("%d lines", n)
	}
}
