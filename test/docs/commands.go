package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var (
	block    = regexp.MustCompile("(?m)^(?:```[^\n]*\n(?s:.*?)^```|(?:    .*\n)+)")
	comment  = regexp.MustCompile(`(?m)\s#.*$`)
	target   = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)
	service  = regexp.MustCompile(`(?m)^  ([a-z][a-z0-9-]*):`)
	makes    = regexp.MustCompile(`(?m)^\s*(?:sudo )?make ((?:[a-zA-Z][\w-]*(?:=\S*)? ?)+)`)
	composes = regexp.MustCompile(`docker-compose (?:--?[\w-]+ )*` +
		`(?:kill|start|stop|pause|unpause|exec|run|logs|restart)((?: --?[a-zA-Z-]+)*(?: [a-z][\w-]*)?)`)
	path = regexp.MustCompile(`(?m)(?:^|[\s=])((?:deploy|docs|shared|test|bench|clients|dhcp4d|dhcp6d)/[\w./*-]+)`)
)

// Commands returns what is wrong with the commands of the documents of the repository, as "file:
// mistake": targets that make does not have, services that the lab does not have, and paths that
// the repository does not have.
func Commands(root string) ([]string, error) {
	var made, lab string
	for _, name := range []string{"Makefile", "deploy/lab.mk"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		made += string(text)
	}
	compose, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		return nil, err
	}
	_, lab, _ = strings.Cut(string(compose), "\nservices:\n")
	targets, services := names(target, made), names(service, lab)

	var documents []string
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		documents = append(documents, found...)
	}
	var wrong []string
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			return nil, err
		}
		say := func(format string, args ...any) {
			wrong = append(wrong, document+": "+fmt.Sprintf(format, args...))
		}
		for _, b := range block.FindAllString(string(text), -1) {
			commands := comment.ReplaceAllString(b, "")
			for _, list := range names(makes, commands) {
				for word := range strings.FieldsSeq(list) {
					if !strings.Contains(word, "=") && !slices.Contains(targets, word) {
						say("make has no target %s", word)
					}
				}
			}
			for _, list := range names(composes, commands) {
				for word := range strings.FieldsSeq(list) {
					if !strings.HasPrefix(word, "-") && !slices.Contains(services, word) {
						say("docker-compose.yml has no service %s", word)
					}
				}
			}
			for _, p := range names(path, commands) {
				if found, err := filepath.Glob(filepath.Join(root, p)); err != nil || len(found) == 0 {
					say("there is no %s", p)
				}
			}
		}
	}
	return wrong, nil
}

// names are the first groups of all matches.
func names(r *regexp.Regexp, text string) (all []string) {
	for _, m := range r.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}
