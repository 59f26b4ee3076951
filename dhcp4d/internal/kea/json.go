package kea

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// Position is where something is in a file. Lines and columns count from 1, columns in octets.
type Position struct {
	File         string
	Line, Column int
}

func (p Position) String() string {
	return fmt.Sprintf("%s, line %d, column %d", p.File, p.Line, p.Column)
}

// SyntaxError says why a file cannot be read, and what to do.
type SyntaxError struct {
	At      Position
	Problem string
}

func (e *SyntaxError) Error() string { return e.At.String() + ": " + e.Problem }

// kind is what a value of a configuration is.
type kind uint8

const (
	null kind = iota
	boolean
	number
	text
	list
	object
)

func (k kind) String() string {
	return [...]string{"null", "true or false", "a number", "text", "a list", "an object"}[k]
}

// value is a value of a configuration, and where it stands.
type value struct {
	kind    kind
	at      Position
	up      *value // what it is in; nil: it is the top
	key     string // in up, if that is an object
	index   int    // in up, if that is a list
	text    string // of a scalar: the text of a string, else as it is written
	keys    []string
	values  []*value // of an object, in the order of the keys; of a list
	said    bool     // the report has a line of it, or of all that is in it
	entered bool     // somebody looked for what is in it
}

// path says how the value is reached from the top, such as subnet4[0].pools.
func (v *value) path() string {
	switch {
	case v.up == nil:
		return ""
	case v.up.kind == list:
		return v.up.path() + "[" + strconv.Itoa(v.index) + "]"
	}
	if up := v.up.path(); up != "" {
		return up + "." + v.key
	}
	return v.key
}

// get returns the value of a key of an object, nil if there is none.
func (v *value) get(key string) *value {
	if v == nil || v.kind != object {
		return nil
	}
	v.entered = true
	budget.Spend(len(v.keys))
	for i, k := range v.keys {
		if k == key {
			return v.values[i]
		}
	}
	return nil
}

// The bounds of a configuration: of nesting, as in Kea of files within files, and of octets.
const (
	maxDepth    = 200
	maxIncludes = 10
	maxOctets   = 64 << 20
)

// parser reads Kea's JSON: with comments (#, //, /* */), and other files in place of a value or a
// key (<?include "file"?>).
type parser struct {
	read     func(path string) ([]byte, error)
	files    []source // that are read from, the innermost last
	octets   int
	warnings []Line // what later versions of Kea take with a warning
}

// source is a file that is being read.
type source struct {
	name         string
	content      string
	at           int
	line, column int
}

// parse reads the file with that name.
func parse(name string, read func(path string) ([]byte, error)) (v *value, warnings []Line, err error) {
	p := &parser{read: read}
	defer func() {
		switch e := recover().(type) {
		case nil:
		case *SyntaxError:
			v, err = nil, e
		case openError:
			v, err = nil, e.error
		default:
			panic(e)
		}
	}()
	p.open(name)
	v = p.value(value{}, 0)
	p.blank()
	if !p.ended() {
		if v.kind == text && p.next() == ':' {
			p.failAt(v.at,
				"a key begins the configuration; put all of it into an object: { before it, and } at the end")
		}
		p.fail("something follows the end of the configuration; delete it, or put it inside")
	}
	return v, p.warnings, nil
}

// openError is that of the operating system.
type openError struct{ error }

func (p *parser) fail(format string, args ...any) {
	panic(&SyntaxError{p.position(), fmt.Sprintf(format, args...)})
}

func (p *parser) failAt(at Position, format string, args ...any) {
	panic(&SyntaxError{at, fmt.Sprintf(format, args...)})
}

func (p *parser) open(name string) {
	content, err := p.read(name)
	if err != nil {
		if len(p.files) > 0 {
			p.fail("the file cannot be included: %v; name one that can be read, by its absolute path or from the "+
				"directory of this file", err)
		}
		panic(openError{err})
	}
	if p.octets += len(content); p.octets > maxOctets {
		p.fail("the configuration has more than %d MiB with all that it includes", maxOctets>>20)
	}
	p.files = append(p.files,
		source{name: name, content: strings.TrimPrefix(string(content), "\ufeff"), line: 1, column: 1})
}

func (p *parser) top() *source { return &p.files[len(p.files)-1] }

func (p *parser) position() Position { f := p.top(); return Position{f.name, f.line, f.column} }

// ended reports whether the outermost file is at its end. It leaves files that are.
func (p *parser) ended() bool {
	for len(p.files) > 1 && p.top().at == len(p.top().content) {
		p.files = p.files[:len(p.files)-1]
		p.blank()
	}
	return p.top().at == len(p.top().content)
}

// next returns the octet ahead, 0 at the end of the file.
func (p *parser) next() byte {
	f := p.top()
	if f.at == len(f.content) {
		return 0
	}
	return f.content[f.at]
}

func (p *parser) starts(with string) bool {
	f := p.top()
	return strings.HasPrefix(f.content[f.at:], with)
}

func (p *parser) advance(n int) {
	budget.Spend(n)
	f := p.top()
	for _, c := range []byte(f.content[f.at : f.at+n]) {
		if f.column++; c == '\n' {
			f.line, f.column = f.line+1, 1
		}
	}
	f.at += n
}

// through skips up to the end of a text, and reports whether that is there.
func (p *parser) through(end string) bool {
	f := p.top()
	n := strings.Index(f.content[f.at:], end)
	if n < 0 {
		p.advance(len(f.content) - f.at)
		return false
	}
	p.advance(n + len(end))
	return true
}

// blank skips what stands between tokens, and enters and leaves files.
func (p *parser) blank() {
	for {
		switch c := p.next(); {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			p.advance(1)
		case c == '#' || p.starts("//"):
			p.through("\n")
		case p.starts("/*"):
			at := p.position()
			p.advance(2)
			if !p.through("*/") {
				p.failAt(at, "the comment has no end; close it with */")
			}
		case p.starts("<?"):
			p.include()
		case p.top().at == len(p.top().content) && len(p.files) > 1:
			p.files = p.files[:len(p.files)-1]
		default:
			return
		}
	}
}

func (p *parser) include() {
	at := p.position()
	p.advance(2)
	directive := p.top().content[p.top().at:]
	end := strings.Index(directive, "?>")
	if end < 0 {
		p.failAt(at, `the directive has no end; write <?include "file"?>`)
	}
	p.advance(end + 2)
	word, rest, _ := strings.Cut(strings.TrimSpace(directive[:end]), `"`)
	name, rest, closed := strings.Cut(rest, `"`)
	if strings.TrimSpace(word) != "include" || !closed || name == "" || strings.TrimSpace(rest) != "" {
		p.failAt(at, `%q is no directive; write <?include "file"?>`, "<?"+directive[:end]+"?>")
	}
	if len(p.files) > maxIncludes {
		p.failAt(at, "more than %d files include each other; does a file include itself?", maxIncludes)
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(p.top().name), name)
	}
	p.open(name)
}

// value reads a value. At says in which value it is, and where there.
func (p *parser) value(at value, depth int) *value {
	p.blank()
	v := &at
	v.at = p.position()
	if depth > maxDepth {
		p.fail("more than %d objects and lists are inside each other", maxDepth)
	}
	switch c := p.next(); {
	case c == '{':
		v.kind = object
		p.object(v, depth)
	case c == '[':
		v.kind = list
		p.list(v, depth)
	case c == '"':
		v.kind, v.text = text, p.text()
	case c == '-' || (c >= '0' && c <= '9') || c == '.':
		v.kind, v.text = number, p.number()
	case p.ended():
		p.fail("the file ends where a value must be; is a bracket or a brace missing at its end?")
	default:
		p.word(v)
	}
	return v
}

// word reads true, false and null.
func (p *parser) word(v *value) {
	f := p.top()
	end := f.at
	for end < len(f.content) && (f.content[end]|0x20 >= 'a' && f.content[end]|0x20 <= 'z') {
		end++
	}
	switch w := f.content[f.at:end]; w {
	case "true", "false":
		v.kind, v.text = boolean, w
	case "null":
		v.text = w
	case "":
		p.fail("%s begins no value; write text in double quotes, a number, true, false, a list or an object", p.shown())
	default:
		if lower := strings.ToLower(w); lower == "true" || lower == "false" || lower == "null" {
			p.fail("%q must be in small letters: %s", w, lower)
		}
		p.fail("%q is no value; put text in double quotes", w)
	}
	p.advance(end - f.at)
}

// shown is the character ahead, for people.
func (p *parser) shown() string {
	r, _ := utf8.DecodeRuneInString(p.top().content[p.top().at:])
	return strconv.QuoteRune(r)
}

// comma reads what stands behind an element, and reports whether another one follows.
func (p *parser) comma(begin Position, end byte, what string) bool {
	p.blank()
	switch c := p.next(); {
	case c == end:
		p.advance(1)
		return false
	case c == ',':
		at := p.position()
		p.advance(1)
		p.blank()
		if p.next() == end {
			p.warnings = append(p.warnings, Line{At: at, Verdict: Changed,
				Text: "a comma too much at the end of " + what + " is passed over, as by Kea since 2.3"})
			p.advance(1)
			return false
		}
		return true
	case p.ended():
		p.fail("the file ends inside of %s that begins in %s; close it with %c", what, begin, end)
	default:
		p.fail("%s cannot stand here; put a comma between two elements of %s, or close it with %c", p.shown(), what,
			end)
	}
	return false
}

func (p *parser) list(v *value, depth int) {
	p.advance(1)
	p.blank()
	if p.next() == ']' {
		p.advance(1)
		return
	}
	for {
		v.values = append(v.values, p.value(value{up: v, index: len(v.values)}, depth+1))
		if !p.comma(v.at, ']', "a list") {
			return
		}
	}
}

func (p *parser) object(v *value, depth int) {
	p.advance(1)
	p.blank()
	if p.next() == '}' {
		p.advance(1)
		return
	}
	first := map[string]Position{}
	for {
		p.blank()
		at := p.position()
		if p.next() != '"' {
			p.fail("%s begins no key; write it in double quotes", p.shown())
		}
		key := p.text()
		if before, twice := first[key]; twice {
			p.failAt(at, "the key %q is there twice, first in %s; leave one out", key, before)
		}
		first[key] = at
		p.blank()
		if p.next() != ':' {
			p.fail("a colon must follow the key %q", key)
		}
		p.advance(1)
		v.keys, v.values = append(v.keys, key), append(v.values, p.value(value{up: v, key: key}, depth+1))
		if !p.comma(v.at, '}', "an object") {
			return
		}
	}
}

func (p *parser) number() string {
	f := p.top()
	end := f.at
	for end < len(f.content) && strings.IndexByte("+-.0123456789eE", f.content[end]) >= 0 {
		end++
	}
	s := f.content[f.at:end]
	digits := strings.TrimPrefix(s, "-")
	if _, err := strconv.ParseFloat(s, 64); err != nil ||
		(len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9') {
		p.fail("%q is no number; write it without leading zeros", s)
	}
	p.advance(end - f.at)
	return s
}

// text reads a string. Of \u only the octets up to \u00ff are possible, as in Kea.
func (p *parser) text() string {
	begin := p.position()
	p.advance(1)
	var b strings.Builder
	for {
		f := p.top()
		switch c := p.next(); {
		case f.at == len(f.content) || c == '\n':
			p.failAt(begin, "the text does not end in its line; close it with a double quote")
		case c < 0x20:
			p.fail("a control character stands inside of text; write it as \\u%04x", c)
		case c == '"':
			p.advance(1)
			return b.String()
		case c == '\\':
			p.escape(&b)
		default:
			b.WriteByte(c)
			p.advance(1)
		}
	}
}

var escapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

func (p *parser) escape(b *strings.Builder) {
	f := p.top()
	rest := f.content[f.at+1:]
	if rest == "" {
		p.fail(`the text ends in a backslash; close it with a double quote`)
	}
	if c, ok := escapes[rest[0]]; ok {
		b.WriteByte(c)
		p.advance(2)
		return
	}
	if rest[0] != 'u' {
		p.fail(`\%c means nothing in text; write \\ for a backslash`, rest[0])
	}
	if len(rest) < 5 {
		p.fail(`\u needs four hexadecimal digits`)
	}
	n, err := strconv.ParseUint(rest[1:5], 16, 16)
	switch {
	case err != nil:
		p.fail(`\u needs four hexadecimal digits`)
	case n > 0xff:
		p.fail(`\u%s is beyond \u00ff, which Kea does not take either; write the character itself`, rest[1:5])
	}
	b.WriteByte(byte(n))
	p.advance(6)
}
