// Package monitoring makes the Grafana dashboards. It also knows which expressions the dashboards
// and the Prometheus rules use, so that tests can compare them with what the daemons export.
//
// It owns the content of deploy/grafana/dashboards and of deploy/kubernetes: go generate writes the
// files, and a test fails if they differ. This file has the details of Grafana's file format,
// panels.go has the panels.
package monitoring

import (
	"encoding/json"
	"maps"
	"strings"
)

//go:generate go run ./write ../../deploy

// A Dashboard is a page with rows of panels.
type Dashboard struct {
	Name      string // of the file, and the uid
	Title     string
	Variables []Variable
	Rows      []Row
}

// A Variable is chosen at the top of the page. Several values may be chosen; at first all are.
type Variable struct {
	Name, Label string
	Query       string // for the datasource, such as label_values(metric, label)
	Regex       string // takes text and value from the series of a query_result
}

// runbook is where the alerts are explained. Annotations of alerts and links of dashboards name it.
const runbook = "https://github.com/dhcp4o6/dhcp4o6/blob/main/docs/runbook.md"

// A Row is a headline and panels side by side. It is 24 columns wide.
type Row struct {
	Title  string
	Height int
	Panels []Panel
}

// Kind is how a panel shows its data.
type Kind string

// The kinds.
const (
	Tile     Kind = "stat"
	Lines    Kind = "timeseries"
	Stacked  Kind = "timeseries, stacked"
	Heat     Kind = "heatmap"
	Timeline Kind = "state-timeline"
	Table    Kind = "table"
)

// A Panel shows some expressions.
type Panel struct {
	Title, About string
	Kind         Kind
	Width        int
	Unit         string // Grafana's name: reqps, s, bytes, percentunit, short, none
	Queries      []Query
	// Below and Above are the values at which a tile turns orange and red. If both are nil, it
	// never does.
	Below, Above []float64
	// Columns are the names of a table's columns, in order, by label or by "Value #A" and so on for
	// the values of the queries. A column without a name is hidden.
	Columns []Column
	// Names makes a tile show the names of the series instead of their values.
	Names bool
	// Runbook is the alert whose section of the runbook tells what to do, if there is one.
	Runbook string
	// States are the names of the values 0 and 1 on a timeline.
	States [2]string
}

// A Query is an expression and the name of its series.
type Query struct{ Expr, Legend string }

// A Column of a table.
type Column struct{ Label, Title, Unit string }

type object = map[string]any

// datasource is the data source that is chosen at the top of the page.
var datasource = object{"type": "prometheus", "uid": "${datasource}"}

// JSON returns the dashboard in Grafana's format.
func (d Dashboard) JSON() ([]byte, error) {
	var panels, variables []object
	id, y := 0, 0
	for _, row := range d.Rows {
		if row.Title != "" {
			id++
			panels = append(panels, object{
				"id": id, "type": "row", "title": row.Title, "collapsed": false, "panels": []object{},
				"gridPos": object{"x": 0, "y": y, "w": 24, "h": 1},
			})
			y++
		}
		x := 0
		for _, p := range row.Panels {
			id++
			o := p.object()
			o["id"] = id
			o["gridPos"] = object{"x": x, "y": y, "w": p.Width, "h": row.Height}
			panels = append(panels, o)
			x += p.Width
		}
		y += row.Height
	}
	variables = append(variables, object{
		"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "regex": "",
		"refresh": 1, "multi": false, "includeAll": false, "current": object{"text": "", "value": ""},
	})
	for _, v := range append(everywhere(), d.Variables...) {
		variables = append(variables, object{
			"name": v.Name, "label": v.Label, "type": "query", "datasource": datasource,
			"query": object{"query": v.Query, "refId": v.Name}, "definition": v.Query,
			"refresh": 2, "multi": true, "includeAll": true, "allValue": ".*", "sort": 3, "regex": v.Regex,
			"current": object{"text": "All", "value": "$__all"},
		})
	}
	b, err := json.MarshalIndent(object{
		"uid": "dhcp4o6-" + d.Name, "title": d.Title, "tags": []string{"dhcp4o6"},
		"schemaVersion": 39, "version": 1, "editable": true, "graphTooltip": 1,
		"time": object{"from": "now-30m", "to": "now"}, "refresh": "5s", "timezone": "browser",
		"templating": object{"list": variables}, "annotations": object{"list": []object{}},
		"links": []object{
			link(object{"type": "dashboards", "tags": []string{"dhcp4o6"}, "title": "DHCPv4 over DHCPv6",
				"includeVars": true, "keepTime": true}),
			link(object{"url": runbook, "title": "Runbook", "tooltip": "What to do about an alert", "icon": "doc",
				"targetBlank": true}),
		},
		"panels": panels,
	}, "", "  ")
	return append(b, '\n'), err
}

// link returns a link with all fields.
func link(of object) object {
	l := object{
		"type": "link", "title": "", "url": "", "tooltip": "", "icon": "external link", "tags": []string{},
		"asDropdown": false, "targetBlank": false, "includeVars": false, "keepTime": false,
	}
	maps.Copy(l, of)
	return l
}

// object returns the panel as Grafana reads it.
func (p Panel) object() object {
	o := object{
		"title": p.Title, "description": p.About, "datasource": datasource, "targets": p.targets(),
	}
	if p.Runbook != "" {
		o["links"] = []object{link(object{
			"title": "Runbook: " + p.Runbook, "url": runbook + "#" + strings.ToLower(p.Runbook), "targetBlank": true,
		})}
	}
	defaults := object{"unit": p.Unit, "thresholds": p.thresholds(), "noValue": "no data"}
	o["fieldConfig"] = object{"defaults": defaults, "overrides": []object{}}
	switch p.Kind {
	case Tile:
		o["type"], o["options"] = "stat", p.tileOptions()
	case Lines, Stacked:
		o["type"], o["options"] = "timeseries", object{
			"legend":  object{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []string{}},
			"tooltip": object{"mode": "multi", "sort": "desc", "hideZeros": true},
		}
		defaults["custom"], defaults["min"] = p.strokes(), 0
	case Heat:
		o["type"], o["options"] = "heatmap", p.heatOptions()
	case Timeline:
		o["type"], o["options"] = "state-timeline", object{"showValue": "never", "mergeValues": true, "rowHeight": 0.8,
			"tooltip": object{"mode": "single", "sort": "none"},
			"legend":  object{"showLegend": false, "displayMode": "list", "placement": "bottom", "calcs": []string{}}}
		defaults["custom"] = object{"fillOpacity": 70, "lineWidth": 0}
		defaults["mappings"] = []object{{"type": "value", "options": object{
			"0": object{"text": p.States[0], "color": "red"}, "1": object{"text": p.States[1], "color": "green"},
		}}}
	case Table:
		o["type"], o["options"] = "table", object{"frameIndex": 0, "showHeader": true, "cellHeight": "sm",
			"sortBy": []object{{"displayName": p.Columns[len(p.Columns)-1].Title, "desc": true}}}
		o["transformations"], o["fieldConfig"] = p.table(defaults)
	}
	return o
}

// targets returns the queries.
func (p Panel) targets() (all []object) {
	for i, q := range p.Queries {
		t := object{
			"refId": string(rune('A' + i)), "datasource": datasource, "expr": scoped(q.Expr),
			"legendFormat": q.Legend, "editorMode": "code", "range": true,
		}
		switch p.Kind {
		case Heat:
			t["format"] = "heatmap"
		case Table:
			t["format"], t["instant"], t["range"] = "table", true, false
		case Tile:
			t["instant"], t["range"] = true, false
		}
		all = append(all, t)
	}
	return all
}

// tileOptions returns the options of a tile. It has a colour if it has thresholds.
func (p Panel) tileOptions() object {
	text, color := "value", "value"
	if p.Names {
		text = "name"
	}
	if p.Below == nil && p.Above == nil {
		color = "none"
	}
	return object{
		"colorMode": color, "graphMode": "none", "textMode": text, "justifyMode": "center", "orientation": "auto",
		"wideLayout": true, "showPercentChange": false, "percentChangeColorMode": "standard",
		"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
	}
}

// strokes returns how lines are drawn.
func (p Panel) strokes() object {
	custom := object{"lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "stacking": object{"mode": "none"}}
	if p.Kind == Stacked {
		custom["fillOpacity"], custom["stacking"] = 50, object{"mode": "normal", "group": "A"}
	}
	return custom
}

func (p Panel) heatOptions() object {
	return object{
		"calculate": false, "cellGap": 1, "color": object{"mode": "scheme", "scheme": "Oranges", "steps": 64,
			"exponent": 0.5, "scale": "exponential", "fill": "dark-orange", "reverse": false},
		"showValue": "never", "exemplars": object{"color": "rgba(255,0,255,0.7)"},
		"yAxis": object{"unit": p.Unit, "axisPlacement": "left"}, "rowsFrame": object{"layout": "auto"},
		"filterValues": object{"le": 1e-9}, "tooltip": object{"mode": "single", "yHistogram": true},
		"legend": object{"show": false}, "cellValues": object{"unit": "reqps"},
	}
}

// thresholds returns green, orange and red, or only green without Below and Above.
func (p Panel) thresholds() object {
	step := func(color string, from any) object { return object{"color": color, "value": from} }
	steps := []object{step("green", nil)}
	switch {
	case p.Above != nil:
		steps = append(steps, step("orange", p.Above[0]), step("red", p.Above[1]))
	case p.Below != nil:
		steps = []object{step("red", nil), step("orange", p.Below[1]), step("green", p.Below[0])}
	}
	return object{"mode": "absolute", "steps": steps}
}

// table joins the results of the queries into one row per set of labels, and names the columns.
func (p Panel) table(defaults object) (transformations []object, fields object) {
	names, order, units := object{}, object{}, []object{}
	var keep []string
	for i, c := range p.Columns {
		names[c.Label], order[c.Label] = c.Title, i
		keep = append(keep, c.Label)
		var properties []object
		if c.Unit != "" {
			properties = append(properties, object{"id": "unit", "value": c.Unit})
		}
		if c.Unit == "percentunit" {
			properties = append(properties,
				object{"id": "custom.cellOptions", "value": object{"type": "gauge", "mode": "basic"}},
				object{"id": "min", "value": 0}, object{"id": "max", "value": 1})
		}
		if len(properties) > 0 {
			units = append(units,
				object{"matcher": object{"id": "byName", "options": c.Title}, "properties": properties})
		}
	}
	return []object{
		{"id": "merge", "options": object{}},
		{"id": "filterFieldsByName", "options": object{"include": object{"names": keep}}},
		{"id": "organize", "options": object{"renameByName": names, "indexByName": order}},
	}, object{"defaults": defaults, "overrides": units}
}
