// Package config turns environment variables into the fields of a struct.
//
// It owns the rules that all variables share: they have a common prefix; X_FILE names a file that
// holds the value of X; empty means unset; an unknown name is a mistake; all mistakes are reported
// together. It has no variable of its own: a daemon's config package declares the variables as
// fields with tags, and adds the checks that need several of them.
//
// Tags of a field:
//
//	env         name without the prefix, ",required" when there is no default
//	envDefault  default, as it would be written in the environment
//	desc        meaning, one sentence without full stop
//	kind        what a value looks like, where the Go type does not say it
//	reload      "true": read again on SIGHUP when it comes from a file
//	secret      "true": never printed, and a file for it must hold a value
//	open        "true": having no value lets more in or serves less, so a file for it must hold one
//
// A field whose type has UnmarshalText parses itself. Commas or line ends separate the elements of
// a plain slice; blanks around them are allowed. A nested struct is a section; its envPrefix tag
// goes before its names.
package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/caarlos0/env/v10"
)

// Variable is a variable as help, documentation and -check show it.
type Variable struct {
	Name     string // with prefix
	Kind     string // what a value looks like
	Default  string // as written in the environment; empty when there is none
	Meaning  string
	Required bool
	Reload   bool
	Secret   bool
	open     bool // without a value more is let in

	Value  string // in effect, default included; never shown when Secret
	Source string // the variable, or the file, that gave Value; empty for the default
}

// Mistake is one thing wrong with the configuration.
type Mistake struct {
	Variable string // with prefix, as the operator wrote it
	Wrong    string // what is wrong
	Remedy   string // what to do, may be empty
}

// Error returns the mistake on one line.
func (m Mistake) Error() string {
	if m.Remedy == "" {
		return m.Variable + ": " + m.Wrong
	}
	return m.Variable + ": " + m.Wrong + "; " + m.Remedy
}

// Mistakes is everything that is wrong, in the order in which it was found.
type Mistakes []Mistake

// Error returns one line per mistake.
func (ms Mistakes) Error() string {
	lines := make([]string, len(ms))
	for i, m := range ms {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}

// Loader reads the variables of one daemon: make it with [New], call [Loader.Parse] for every
// struct, [Loader.Mistake] for what else is wrong, and then [Loader.Err].
type Loader struct {
	prefix    string
	given     map[string]string // everything with our prefix that is not empty
	variables []Variable
	mistakes  Mistakes
}

// New takes the environment in the form of os.Environ. The prefix ends in an underscore.
func New(prefix string, environ []string) *Loader {
	l := &Loader{prefix: prefix, given: make(map[string]string)}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		delete(l.given, name) // of two entries the last counts, as for the C library's exec
		if value != "" {
			l.given[name] = value
		}
	}
	return l
}

// Parse fills the struct that into points to. What is wrong with a field is
// kept for Err, and the field stays as it was.
func (l *Loader) Parse(into any) {
	l.section(reflect.ValueOf(into).Elem(), l.prefix, false)
}

// Hold is the tag open of variables that were parsed.
func (l *Loader) Hold(names ...string) {
	for i := range l.variables {
		v := &l.variables[i]
		named := slices.Contains(names, strings.TrimPrefix(v.Name, l.prefix))
		if named && v.Source != "" && strings.TrimSpace(v.Value) == "" {
			l.blank(v, v.Source)
		}
	}
}

// ParseSection is Parse for variables whose names begin with prefix. They can be reloaded, but for
// those with the tag reload:"false". It returns the names of those that are given.
func (l *Loader) ParseSection(prefix string, into any) (given []string) {
	first := len(l.variables)
	l.section(reflect.ValueOf(into).Elem(), l.prefix+prefix, true)
	for _, v := range l.variables[first:] {
		if v.Source != "" {
			given = append(given, v.Name)
		}
	}
	return given
}

func (l *Loader) section(s reflect.Value, prefix string, reload bool) {
	for i := range s.NumField() {
		field := s.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		tag, declared := field.Tag.Lookup("env")
		if !declared {
			if field.Type.Kind() == reflect.Struct {
				l.section(s.Field(i), prefix+field.Tag.Get("envPrefix"), reload)
			}
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		v := Variable{
			Name:     prefix + name,
			Kind:     kind(field),
			Default:  field.Tag.Get("envDefault"),
			Meaning:  field.Tag.Get("desc"),
			Required: options == "required",
			Reload:   field.Tag.Get("reload") == "true" || (reload && field.Tag.Get("reload") != "false"),
			Secret:   field.Tag.Get("secret") == "true",
			open:     field.Tag.Get("open") == "true",
		}
		l.variable(&v, field, s.Field(i), prefix)
		l.variables = append(l.variables, v)
	}
}

// variable finds the value of v and parses it into the field.
func (l *Loader) variable(v *Variable, field reflect.StructField, target reflect.Value, prefix string) {
	given, source, ok := l.find(v.Name)
	if !ok {
		return
	}
	if (v.Secret || v.open) && source != "" && strings.TrimSpace(given) == "" {
		l.blank(v, source)
		return
	}
	v.Value, v.Source = given, source
	if given == "" {
		v.Value = v.Default
	}
	environment := map[string]string{}
	if value := v.Value; value != "" {
		if isPlainSlice(field.Type) {
			value = joinElements(value)
		}
		environment[v.Name] = value
	}
	// One field at a time, so that we know which variable a mistake belongs to.
	one := reflect.New(reflect.StructOf([]reflect.StructField{{Name: field.Name, Type: field.Type, Tag: field.Tag}}))
	err := env.ParseWithOptions(one.Interface(), env.Options{Environment: environment, Prefix: prefix})
	if err != nil {
		l.mistakes = append(l.mistakes, v.mistake(err))
		return
	}
	target.Set(one.Elem().Field(0))
}

// find returns the value of a variable and its source: the variable itself, or the file that
// name_FILE names. It is not ok if both are given or the file cannot be read.
func (l *Loader) find(name string) (value, source string, ok bool) {
	value, plain := l.given[name]
	path, file := l.given[name+"_FILE"]
	switch {
	case plain && file:
		l.add(name, "given twice, by "+name+" and by "+name+"_FILE", "leave one of them unset")
		return "", "", false
	case plain:
		return value, name, true
	case file:
		content, err := ReadFile(path)
		if err != nil {
			l.add(name+"_FILE", err.Error(), "name a file that holds the value of "+name)
			return "", "", false
		}
		return trimLineEnd(string(content)), path, true
	}
	return "", "", true
}

// blank notes that a variable is given without a value, where no value opens a door. A file is
// empty after a disk was full, or while somebody writes it.
func (l *Loader) blank(v *Variable, source string) {
	if source == v.Name {
		l.add(v.Name, "holds nothing but blanks", "give "+v.Kind+", or unset it")
		return
	}
	l.add(v.Name+"_FILE", source+" is empty", "write "+v.Kind+" into it, or unset "+v.Name+"_FILE to have none")
}

func trimLineEnd(s string) string {
	s, found := strings.CutSuffix(s, "\n")
	if found {
		s = strings.TrimSuffix(s, "\r")
	}
	return s
}

// discreet is an error that quotes nothing of the value that it is about, so that it can be shown
// of a secret. The value is not shown beside it either: it may hold a secret where none belongs.
type discreet interface {
	error
	QuotesNothing()
}

// inner is the error of the parser of a value.
func inner(err error) error {
	if p, ok := errors.AsType[env.ParseError](err); ok {
		return p.Err
	}
	return err
}

// mistake turns an error of package env into a mistake of a variable.
func (v *Variable) mistake(err error) Mistake {
	if all, ok := errors.AsType[env.AggregateError](err); ok && len(all.Errors) > 0 {
		err = all.Errors[0]
	}
	if _, missing := errors.AsType[env.EnvVarIsNotSetError](err); missing {
		return Mistake{v.Name, "not set", "give " + v.Kind + ": " + v.Meaning}
	}
	if v.Secret {
		problem := "not usable (the value is secret and not shown)"
		if e, ok := errors.AsType[discreet](inner(err)); ok {
			problem = strings.ReplaceAll(e.Error(), "\n", "; ") + " (the value is secret and not shown)"
		}
		return Mistake{v.Name, problem, "give " + v.Kind}
	}
	if e, ok := errors.AsType[discreet](inner(err)); ok {
		return Mistake{v.Name, e.Error(), "give " + v.Kind}
	}
	problem := v.plain(err)
	if at, ok := withoutLength(problem); ok {
		return Mistake{v.Name, at.String() + " is an address and no prefix",
			fmt.Sprintf("write %v/%d for it alone", at, at.BitLen())}
	}
	return Mistake{v.Name, problem, "give " + v.Kind}
}

// withoutLength returns the address that stands where a prefix should.
func withoutLength(problem string) (netip.Addr, bool) {
	quoted, ok := strings.CutSuffix(problem, ": no '/'")
	text, err := strconv.Unquote(quoted)
	if !ok || err != nil {
		return netip.Addr{}, false
	}
	at, err := netip.ParseAddr(text)
	return at, err == nil && at.Zone() == ""
}

// plain removes the names of packages and functions from a parser's error.
func (v *Variable) plain(err error) string {
	if field, ok := errors.AsType[env.ParseError](err); ok {
		err = field.Err
	}
	if value, ok := errors.AsType[env.ParseValueError](err); ok {
		err = value.Err
	}
	if number, ok := errors.AsType[*strconv.NumError](err); ok {
		return fmt.Sprintf("%q: %v", number.Num, number.Err)
	}
	text := parserCall.ReplaceAllString(err.Error(), "$1")
	if !strings.Contains(text, `"`) {
		text = strconv.Quote(v.Value) + ": " + text
	}
	return text
}

// parserCall matches the beginning of an error of package netip. Package time writes only its name.
var parserCall = regexp.MustCompile(`(?:netip\.)?Parse\w+\(("[^"]*")\)|^time: `)

// Mistake notes what is wrong with a variable, named without the prefix.
func (l *Loader) Mistake(variable, wrong, remedy string) {
	l.add(l.prefix+variable, wrong, remedy)
}

func (l *Loader) add(variable, wrong, remedy string) {
	l.mistakes = append(l.mistakes, Mistake{variable, wrong, remedy})
}

// Variable returns a variable that Parse has seen, by its name without the prefix.
func (l *Loader) Variable(name string) Variable {
	for _, v := range l.variables {
		if v.Name == l.prefix+name {
			return v
		}
	}
	return Variable{}
}

// Describe says what a value of a variable that Parse has seen looks like, where no tag can say it.
func (l *Loader) Describe(name, kind string) {
	for i := range l.variables {
		if l.variables[i].Name == l.prefix+name {
			l.variables[i].Kind = kind
		}
	}
}

// Variables returns all variables that Parse has seen, in the order of their declaration.
func (l *Loader) Variables() []Variable { return slices.Clone(l.variables) }

// Err returns the [Mistakes], unknown variables included, or nil. Call it once, after every Parse.
func (l *Loader) Err() error {
	l.unknown()
	if len(l.mistakes) == 0 {
		return nil
	}
	return fmt.Errorf("configuration: %w", l.mistakes)
}
