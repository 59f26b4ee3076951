package config

import (
	"maps"
	"slices"
	"strings"
)

// unknown adds a mistake for each variable with our prefix that is not declared.
func (l *Loader) unknown() {
	var names []string
	for _, v := range l.variables {
		names = append(names, v.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(l.given)) {
		if slices.Contains(names, name) || slices.Contains(names, strings.TrimSuffix(name, "_FILE")) || l.injected(name) {
			continue
		}
		remedy := "remove it, -h lists all variables"
		if near := nearest(name, names); near != "" {
			remedy = "did you mean " + near + "?"
		}
		l.add(name, "unknown variable", remedy)
	}
}

// injected reports whether Kubernetes sets such a variable in every pod beside a Service with the
// daemon's name: <NAME>_SERVICE_HOST, <NAME>_SERVICE_PORT[_x], <NAME>_PORT and
// <NAME>_PORT_<number>_<protocol>….
func (l *Loader) injected(name string) bool {
	rest := strings.TrimPrefix(name, l.prefix)
	return rest == "PORT" || strings.HasPrefix(rest, "PORT_") || strings.HasPrefix(rest, "SERVICE_")
}

// nearest returns the name that was most likely meant, "" if there is none.
func nearest(name string, names []string) string {
	base, file := strings.CutSuffix(name, "_FILE")
	near := Nearest(base, names, max(2, len(base)/5))
	if near != "" && file {
		near += "_FILE"
	}
	return near
}

// Nearest returns the known name that a misspelt one most likely means: the
// first of those with the fewest single letters to insert, delete or replace,
// "" if all have more than most.
func Nearest(name string, known []string, most int) string {
	best, least := "", most+1
	for _, k := range known {
		if max(len(name), len(k))-min(len(name), len(k)) >= least {
			continue // so much longer or shorter
		}
		if d := distance(name, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is the number of single letters to insert, delete or replace to
// get from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
