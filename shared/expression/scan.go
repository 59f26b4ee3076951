package expression

import (
	"fmt"
	"strings"
)

// kind is the kind of a token.
type kind uint8

const (
	endToken  kind = iota
	textToken      // 'text', without its quotes
	hexToken       // 0x and hex digits
	intToken       // digits, perhaps after a minus
	addrToken      // looks like an address
	wordToken      // keywords, names of options
	signToken      // ==, ( and so on
)

type token struct {
	kind kind
	at   int
	text string
}

// show returns a token as errors name it.
func (t token) show() string {
	switch t.kind {
	case endToken:
		return "the end"
	case textToken:
		return "'" + t.text + "'"
	}
	return t.text
}

// scanner splits an expression into tokens. Each is the longest that is possible.
type scanner struct {
	text string
	at   int
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isHex(c byte) bool    { return isDigit(c) || ('a' <= c|0x20 && c|0x20 <= 'f') }
func isWord(c byte) bool   { return isLetter(c) || isDigit(c) || c == '-' || c == '_' }

// span returns how many octets at the start of s are of a kind.
func span(s string, is func(byte) bool) int {
	n := 0
	for n < len(s) && is(s[n]) {
		n++
	}
	return n
}

func (s *scanner) next() (token, error) {
	for s.at < len(s.text) && strings.IndexByte(" \t\r\n", s.text[s.at]) >= 0 {
		s.at++
	}
	rest := s.text[s.at:]
	if rest == "" {
		return token{endToken, s.at, ""}, nil
	}
	if rest[0] == '\'' {
		return s.quoted(rest)
	}
	k, n := longest(rest)
	if n == 0 {
		return token{}, newError(s.text, s.at, stray(rest))
	}
	t := token{k, s.at, rest[:n]}
	s.at += n
	return t, nil
}

func (s *scanner) quoted(rest string) (token, error) {
	n := strings.IndexAny(rest[1:], "'\n")
	if n < 0 || rest[1+n] == '\n' {
		return token{}, newError(s.text, s.at, "the text that begins here has no closing ' in its line")
	}
	t := token{textToken, s.at, rest[1 : 1+n]}
	s.at += n + 2
	return t, nil
}

// longest returns the longest token that s begins with.
func longest(s string) (k kind, n int) {
	take := func(as kind, length int) {
		if length > n {
			k, n = as, length
		}
	}
	for _, sign := range []string{"==", "(", ")", "[", "]", ".", ",", "+", "*"} {
		if strings.HasPrefix(s, sign) {
			take(signToken, len(sign))
		}
	}
	if isLetter(s[0]) {
		take(wordToken, span(s, isWord))
	}
	if s[0] == '0' && len(s) > 1 && s[1]|0x20 == 'x' {
		if digits := span(s[2:], isHex); digits > 0 {
			take(hexToken, 2+digits)
		}
	}
	minus := 0
	if s[0] == '-' {
		minus = 1
	}
	if digits := span(s[minus:], isDigit); digits > 0 {
		take(intToken, minus+digits)
	}
	take(addrToken, addressLen(s))
	return k, n
}

// addressLen returns the length of what looks like an address: four numbers with dots, or hex
// digits with two colons at least.
func addressLen(s string) int {
	at := 0
	for part := range 4 {
		if part > 0 {
			if at == len(s) || s[at] != '.' {
				break
			}
			at++
		}
		digits := span(s[at:], isDigit)
		if digits == 0 {
			break
		}
		if at += digits; part == 3 {
			return at
		}
	}
	at = 0
	for range 2 {
		at += span(s[at:], isHex)
		if at == len(s) || s[at] != ':' {
			return 0
		}
		at++
	}
	return at + span(s[at:], func(c byte) bool { return isHex(c) || c == ':' || c == '.' })
}

// stray returns what is wrong with characters that begin no token, and what to do.
func stray(s string) string {
	for _, habit := range [][2]string{
		{"!=", "there is no !=; write not (a == b)"},
		{"=", "one = means nothing; did you mean ==?"},
		{"&&", "there is no &&; did you mean and?"},
		{"||", "there is no ||; did you mean or?"},
		{"!", "there is no !; did you mean not?"},
		{"\"", "text stands between single quotes: 'text'"},
		{"“", "text stands between single quotes: 'text'"},
		{"‘", "text stands between plain single quotes: 'text'"},
		{"’", "text stands between plain single quotes: 'text'"},
	} {
		if strings.HasPrefix(s, habit[0]) {
			return habit[1]
		}
	}
	return fmt.Sprintf("%q has no meaning here", []rune(s)[0])
}
