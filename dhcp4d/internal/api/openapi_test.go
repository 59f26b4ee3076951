package api

import (
	"encoding"
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leasefile"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
)

type schema struct {
	Ref        string            `json:"$ref"`
	Type       any               `json:"type"`
	Enum       []string          `json:"enum"`
	Required   []string          `json:"required"`
	Properties map[string]schema `json:"properties"`
	Items      *schema           `json:"items"`
	AnyOf      []schema          `json:"anyOf"`
}

type operation struct {
	Parameters []struct {
		Name, In string
		Required bool
		Schema   schema
	}
	RequestBody struct {
		Content map[string]struct{ Schema schema }
	}
	Responses map[string]struct {
		Content map[string]struct{ Schema schema }
	}
}

type document struct {
	OpenAPI    string
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]schema }
}

func openAPI(t *testing.T) *document {
	t.Helper()
	var d document
	if err := json.Unmarshal(reference, &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

func TestReferenceHasTheRoutesAndParametersOfTheCode(t *testing.T) {
	d := openAPI(t)
	inPath := regexp.MustCompile(`\{(\w+)\}`)
	seen := 0
	for _, r := range routes() {
		op, ok := d.Paths[r.path][strings.ToLower(r.method)]
		if !ok {
			t.Errorf("%s %s is not in the reference", r.method, r.path)
			continue
		}
		seen++
		var want, got []string
		for _, p := range r.parameters {
			want = append(want, "query "+p)
		}
		for _, m := range inPath.FindAllStringSubmatch(r.path, -1) {
			want = append(want, "path "+m[1])
		}
		for _, p := range op.Parameters {
			got = append(got, p.In+" "+p.Name)
			if p.Required != (p.In == "path") {
				t.Errorf("%s %s: %s is required: %v", r.method, r.path, p.Name, p.Required)
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Errorf("%s %s takes %q, the reference has %q", r.method, r.path, want, got)
		}
		for _, code := range []string{"200", "400", "401", "503"} {
			if _, ok := op.Responses[code]; !ok {
				t.Errorf("%s %s: the reference has no %s", r.method, r.path, code)
			}
		}
	}
	for path, ops := range d.Paths {
		seen -= len(ops)
		if seen < 0 {
			t.Errorf("the reference has more at %s than the code", path)
		}
	}
}

func TestReferenceHasTheFieldsOfTheCode(t *testing.T) {
	d := openAPI(t)
	for name, v := range map[string]any{
		"Lease": leasefile.Lease{}, "Point": leasefile.Point{}, "Page": page{}, "Subnet": subnet{}, "SubnetList": subnetList{}, "Pool": pool{}, "Order": order{}, "Problem": problem{},
		"Record": trace.Record{}, "Datagram": trace.Datagram{},
	} {
		s := d.Components.Schemas[name]
		var fields, always []string
		for f := range reflect.TypeOf(v).Fields() {
			tag, option, _ := strings.Cut(f.Tag.Get("json"), ",")
			if fields = append(fields, tag); option == "" {
				always = append(always, tag)
			}
			p, ok := s.Properties[tag]
			if want := jsonType(f.Type); ok && !strings.Contains(d.typeOf(&p), want) {
				t.Errorf("%s.%s is %s in the reference, %s in the code", name, tag, d.typeOf(&p), want)
			}
		}
		slices.Sort(fields)
		slices.Sort(always)
		if got := slices.Sorted(maps.Keys(s.Properties)); !slices.Equal(got, fields) {
			t.Errorf("%s has %q, in the reference %q", name, fields, got)
		}
		required := slices.Sorted(slices.Values(s.Required))
		if name != "Order" && !slices.Equal(required, always) {
			t.Errorf("%s always has %q, in the reference %q", name, always, required)
		}
	}
	var states []string
	for _, s := range leasefile.States() {
		states = append(states, string(s))
	}
	if got := d.Components.Schemas["State"].Enum; !slices.Equal(got, states) {
		t.Errorf("states %q, in the reference %q", states, got)
	}
}

// typeOf is the type of a schema, of several if there are several.
func (d *document) typeOf(s *schema) string {
	switch {
	case s.Ref != "":
		of := d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
		return d.typeOf(&of)
	case s.AnyOf != nil:
		all := ""
		for i := range s.AnyOf {
			all += d.typeOf(&s.AnyOf[i]) + " "
		}
		return all
	}
	if one, ok := s.Type.(string); ok {
		return one
	}
	all := ""
	if list, ok := s.Type.([]any); ok {
		for _, one := range list {
			all += one.(string) + " "
		}
	}
	return all
}

func jsonType(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) || t == reflect.TypeFor[[]byte]() {
		return "string"
	}
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Slice:
		return "array"
	case reflect.Struct:
		return "object"
	}
	return "integer"
}
