// Allow serves the Interface-Ids in the first column of a CSV file, which is read again when it has
// changed: allow SOCKET FILE.
package main

import (
	"context"
	"encoding/csv"
	"log"
	"os"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/outside/program"
)

const keep = 10 // seconds for which dhcp4d remembers what we say

var written time.Time
var allowed map[string]bool

func look(path string) {
	file, err := os.Open(path)
	if err != nil {
		panic(err) // no answer: DHCP4D_OUTSIDE_POLICY decides
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && !info.ModTime().Equal(written) {
		r := csv.NewReader(file)
		r.FieldsPerRecord = -1 // any number
		rows, err := r.ReadAll()
		if err != nil {
			panic(err)
		}
		written, allowed = info.ModTime(), map[string]bool{}
		for _, row := range rows {
			allowed[row[0]] = true
		}
	}
}

func main() {
	p := program.Program{Name: "allow", Socket: os.Args[1], Decide: func(q *outside.Query) outside.Answer {
		if look(os.Args[2]); allowed[string(q.InterfaceID)] {
			return outside.Answer{Verdict: outside.Continue, Keep: keep}
		}
		return outside.Answer{Verdict: outside.Drop, Reason: "unknown", Keep: keep}
	}}
	log.Fatal(p.Run(context.Background()))
}
