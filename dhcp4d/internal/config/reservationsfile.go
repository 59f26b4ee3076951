package config

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// fileKeys are the keys of a reservation that may be columns of a file: those with one plain value.
var fileKeys = []string{
	"address", "client-id", "hw-address", "hw-type", "interface-id", "remote-id", "link-address", "circuit-id",
	"agent-remote-id",
	"link-selection", "flex-id", "class", "lease-time", "next-server", "server-hostname", "boot-file-name",
}

// readFile reads reservations from the file that a subnet names. It holds comma-separated values.
// Its first line has the keys. An empty value means that the key is left out. At most
// maxFileMistakes mistakes are reported.
func (r *reserver) readFile(at *value) {
	path, ok := r.Scalar(at, "the path of a file")
	if !ok {
		return
	}
	content, err := config.ReadFile(path)
	if err != nil {
		r.Fail(at, "%v", err)
		return
	}
	rows := csv.NewReader(bytes.NewReader(content))
	rows.Comment, rows.TrimLeadingSpace, rows.ReuseRecord = '#', true, true
	head, err := rows.Read()
	if err != nil {
		r.Fail(at, "%s is no list of reservations: %v; the first line names the columns, "+
			"such as address,hw-address", path, err)
		return
	}
	columns := make([]field[reservationDoc], len(head))
	for i, key := range head {
		if !slices.Contains(fileKeys, key) {
			r.Fail(at, "%s: %q can be no column; there are %v", path, key, fileKeys)
			return
		}
		if slices.Index(head, key) < i {
			r.Fail(at, "%s: the column %s is there twice", path, key)
			return
		}
		columns[i] = reservationFields[slices.IndexFunc(reservationFields,
			func(f field[reservationDoc]) bool { return f.name == key })]
	}
	most := len(r.Mistakes) + maxFileMistakes
	for len(r.Mistakes) < most {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			r.Fail(at, "%s: %v", path, err)
			return
		}
		r.addRow(at, path, rows, columns, row)
	}
	r.Fail(at, "%s has more mistakes than %d; the others are not told", path, maxFileMistakes)
}

const maxFileMistakes = 20

// addRow adds the reservation of one line.
func (r *reserver) addRow(at *value, path string, rows *csv.Reader, columns []field[reservationDoc], row []string) {
	line, _ := rows.FieldPos(0)
	before := len(r.Mistakes)
	item := &value{Node: &yaml.Node{Kind: yaml.MappingNode, Line: line}}
	d := reservationDoc{at: item, hwType: 1}
	nodes := make([]yaml.Node, len(row))
	for i, text := range row {
		budget.Spend(1)
		if text == "" {
			continue
		}
		nodes[i] = yaml.Node{Kind: yaml.ScalarNode, Value: text, Line: line}
		columns[i].read(r.reader, item.Within(columns[i].name, &nodes[i]), &d)
	}
	if len(r.Mistakes) == before {
		r.add(&d)
	}
	for i := range r.Mistakes[before:] { // reported at the key that names the file
		m := &r.Mistakes[before+i]
		where := fmt.Sprintf("%s, line %d: ", path, line)
		if m.Path != "" {
			where += m.Path + ": "
		}
		m.Line, m.Column, m.Path, m.Problem = at.Line, at.Column, at.Path(), where+m.Problem
	}
}
