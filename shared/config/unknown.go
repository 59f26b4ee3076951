package config

import (
	"maps"
	"slices"
	"strings"
)

// unknown notes the variables that carry our prefix and that nobody declared.
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

// injected tells whether Kubernetes sets such a variable in every pod beside
// a Service that has the daemon's name: <NAME>_SERVICE_HOST,
// <NAME>_SERVICE_PORT[_x], <NAME>_PORT and <NAME>_PORT_<number>_<protocol>….
func (l *Loader) injected(name string) bool {
	rest := strings.TrimPrefix(name, l.prefix)
	return rest == "PORT" || strings.HasPrefix(rest, "PORT_") || strings.HasPrefix(rest, "SERVICE_")
}

// nearest returns the name that was most likely meant, or "".
func nearest(name string, names []string) string {
	suffix := ""
	if base, file := strings.CutSuffix(name, "_FILE"); file {
		name, suffix = base, "_FILE"
	}
	best, least := "", max(2, len(name)/5)+1
	for _, candidate := range names {
		if d := distance(name, candidate); d < least {
			best, least = candidate+suffix, d
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
