package manual

import (
	"fmt"
	"slices"
	"strings"
)

// isFile reports whether the value of a flag is the name of a file.
func (f *Flag) isFile() bool { return f.Value == "file" || f.Value == "path" }

// names are the flags of a command, with their hyphens.
func (c *Command) names() (names []string) {
	for _, f := range c.Flags {
		names = append(names, "-"+f.Name)
	}
	return names
}

// switches are the names of the flags that stand in place of a command.
func (p *Program) switches() (names []string) {
	for _, s := range p.Switches {
		names = append(names, s.Name)
	}
	return names
}

// takesFiles reports whether the arguments of a command are files.
func (c *Command) takesFiles() bool { return strings.Contains(c.Arguments, "FILE") }

// function is a name of the program that a shell takes as part of that of a function.
func (p *Program) function() string { return strings.ReplaceAll(p.Name, "-", "_") }

// bash is a file for bash-completion.
func (p *Program) bash() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Completes %s in bash. It is generated: %s %s bash.", p.Name, p.Name, Word)
	line("_%s() {", p.function())
	line("\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} first='' second='' words=''")
	line("\tCOMPREPLY=()")
	if p.first() == nil {
		p.bashFlags(line, "\t", &p.Commands[0])
	} else {
		line("\t((COMP_CWORD > 1)) && first=${COMP_WORDS[1]}")
		line("\t((COMP_CWORD > 2)) && second=${COMP_WORDS[2]}")
		line("\tcase $first in")
		line("\t'') words='%s' ;;", strings.Join(slices.Concat(p.first(), p.switches()), " "))
		for _, first := range p.first() {
			seconds := p.second(first)
			line("\t%s)", first)
			if seconds == nil {
				p.bashFlags(line, "\t\t", p.command(first))
				line("\t\t;;")
				continue
			}
			line("\t\tcase $second in")
			line("\t\t'') words='%s' ;;", strings.Join(seconds, " "))
			for _, second := range seconds {
				line("\t\t%s)", second)
				p.bashFlags(line, "\t\t\t", p.command(first+" "+second))
				line("\t\t\t;;")
			}
			line("\t\tesac")
			line("\t\t;;")
		}
		line("\tesac")
	}
	line("\twhile IFS= read -r word; do COMPREPLY+=(\"$word\"); done < <(compgen -W \"$words\" -- \"$cur\")")
	line("}")
	line("complete -F _%s %s", p.function(), p.Name)
	return b.String()
}

// bashFlags sets words for what may come next in a command, or completes a file.
func (p *Program) bashFlags(line func(string, ...any), indent string, c *Command) {
	const file = "while IFS= read -r word; do COMPREPLY+=(\"$word\"); done < <(compgen -f -- \"$cur\"); return"
	line("%scase $prev in", indent)
	var other []string
	for _, f := range c.Flags {
		switch {
		case f.Value == "":
		case f.Choices != nil:
			line("%s-%s) words='%s' ;;", indent, f.Name, strings.Join(f.Choices, " "))
		case f.isFile():
			line("%s-%s) %s ;;", indent, f.Name, file)
		default:
			other = append(other, "-"+f.Name)
		}
	}
	if other != nil {
		line("%s%s) return ;;", indent, strings.Join(other, "|"))
	}
	flags := "words='" + strings.Join(c.names(), " ") + "'"
	if c.takesFiles() {
		flags = "if [[ $cur == -* ]]; then " + flags + "; else " + file + "; fi"
	}
	line("%s*) %s ;;", indent, flags)
	line("%sesac", indent)
}

// command is the command with some words.
func (p *Program) command(words string) *Command {
	for i := range p.Commands {
		if p.Commands[i].Words == words {
			return &p.Commands[i]
		}
	}
	return nil
}

// about is what a first word is about.
func (p *Program) about(first string) string {
	if c := p.command(first); c != nil {
		return c.About
	}
	return p.Groups[first]
}

// zshText is a text within a specification in single quotes.
func zshText(s string) string {
	return strings.NewReplacer(`\`, `\\`, "'", `'\''`, "[", `\[`, "]", `\]`, ":", `\:`, "\n", " ").Replace(s)
}

// zsh is a function for zsh's completion.
func (p *Program) zsh() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("#compdef %s", p.Name)
	line("# Completes %s in zsh. It is generated: %s %s zsh.", p.Name, p.Name, Word)
	if p.first() == nil {
		p.zshArguments(line, "", &p.Commands[0])
		return b.String()
	}
	line("local -a words_of")
	line("if ((CURRENT == 2)); then")
	line("\twords_of=(")
	for _, first := range p.first() {
		line("\t\t'%s:%s'", first, zshText(p.about(first)))
	}
	for _, s := range p.Switches {
		line("\t\t'%s:%s'", s.Name, zshText(s.About))
	}
	line("\t)")
	line("\t_describe 'command' words_of")
	line("\treturn")
	line("fi")
	line("case $words[2] in")
	for _, first := range p.first() {
		line("%s)", first)
		seconds := p.second(first)
		if seconds == nil {
			line("\tshift words; ((CURRENT--))")
			p.zshArguments(line, "\t", p.command(first))
			line("\t;;")
			continue
		}
		line("\tif ((CURRENT == 3)); then")
		line("\t\twords_of=(")
		for _, second := range seconds {
			line("\t\t\t'%s:%s'", second, zshText(p.command(first+" "+second).About))
		}
		line("\t\t)")
		line("\t\t_describe 'command' words_of")
		line("\t\treturn")
		line("\tfi")
		line("\tlocal second=$words[3]")
		line("\tshift 2 words; ((CURRENT -= 2))")
		line("\tcase $second in")
		for _, second := range seconds {
			line("\t%s)", second)
			p.zshArguments(line, "\t\t", p.command(first+" "+second))
			line("\t\t;;")
		}
		line("\tesac")
		line("\t;;")
	}
	line("esac")
	return b.String()
}

func (p *Program) zshArguments(line func(string, ...any), indent string, c *Command) {
	line("%s_arguments \\", indent)
	for _, f := range c.Flags {
		spec := fmt.Sprintf("-%s[%s]", f.Name, zshText(f.About))
		switch {
		case f.Value == "":
		case f.Choices != nil:
			spec += fmt.Sprintf(":%s:(%s)", zshText(f.Value), strings.Join(f.Choices, " "))
		case f.isFile():
			spec += ":" + f.Value + ":_files"
		default:
			spec += ":" + zshText(f.Value) + ": "
		}
		line("%s\t'%s' \\", indent, spec)
	}
	if c.takesFiles() {
		line("%s\t'*:file:_files'", indent)
		return
	}
	line("%s\t'*: : '", indent)
}

// fishText is a text in single quotes.
func fishText(s string) string {
	return strings.NewReplacer(`\`, `\\`, "'", `\'`, "\n", " ").Replace(s)
}

// fish is a file of fish's completions.
func (p *Program) fish() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Completes %s in fish. It is generated: %s %s fish.", p.Name, p.Name, Word)
	line("complete -c %s -f", p.Name)
	if p.first() == nil {
		p.fishFlags(line, "", &p.Commands[0])
		return b.String()
	}
	// The words before the cursor, with the program's name.
	count := fmt.Sprintf("__%s_words", p.function())
	line("function %s", count)
	line("\tset -l words (commandline -opc)")
	line("\ttest (count $words) -eq $argv[1]; or return 1")
	line("\ttest (count $argv) -lt 2; or test $words[2] = $argv[2]")
	line("end")
	within := fmt.Sprintf("__%s_within", p.function())
	line("function %s", within)
	line("\tset -l words (commandline -opc)")
	line("\tset -l last (math 1 + (count $argv))")
	line("\ttest (count $words) -ge $last; and test \"$words[2..$last]\" = \"$argv\"")
	line("end")
	for _, first := range p.first() {
		line("complete -c %s -n '%s 1' -a %s -d '%s'", p.Name, count, first, fishText(p.about(first)))
	}
	for _, s := range p.Switches {
		line("complete -c %s -n '%s 1' -o %s -d '%s'",
			p.Name, count, strings.TrimPrefix(s.Name, "-"), fishText(s.About))
	}
	for _, first := range p.first() {
		for _, second := range p.second(first) {
			line("complete -c %s -n '%s 2 %s' -a %s -d '%s'",
				p.Name, count, first, second, fishText(p.command(first+" "+second).About))
		}
	}
	for i := range p.Commands {
		p.fishFlags(line, fmt.Sprintf(" -n '%s %s'", within, p.Commands[i].Words), &p.Commands[i])
	}
	return b.String()
}

func (p *Program) fishFlags(line func(string, ...any), condition string, c *Command) {
	for _, f := range c.Flags {
		value := ""
		switch {
		case f.Value == "":
		case f.Choices != nil:
			value = " -x -a '" + strings.Join(f.Choices, " ") + "'"
		case f.isFile():
			value = " -r -F"
		default:
			value = " -x"
		}
		line("complete -c %s%s -o %s%s -d '%s'", p.Name, condition, f.Name, value, fishText(f.About))
	}
	if c.takesFiles() {
		line("complete -c %s%s -F", p.Name, condition)
	}
}
