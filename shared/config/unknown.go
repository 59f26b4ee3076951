package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/spelling"
)

// unknown adds a mistake for each variable with our prefix that is not declared.
func (l *Loader) unknown() {
	var names []string
	for _, v := range l.variables {
		names = append(names, v.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(l.given)) {
		known := slices.Contains(names, name) || slices.Contains(names, strings.TrimSuffix(name, "_FILE"))
		if known || l.injected(name) {
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
	near := spelling.Nearest(base, names, max(2, len(base)/5))
	if near != "" && file {
		near += "_FILE"
	}
	return near
}
