package docs

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// named is the line before a block that is the content of a file.
var named = regexp.MustCompile("(?m)^`(/[^`]+)`:\n\n\\z")

// Script returns what a document tells its reader to type, as a shell script. A block after a line
// that is only the name of a file is the content of that file.
func Script(document string) (string, error) {
	text, err := os.ReadFile(document)
	return script(text), err
}

// ScriptOf returns what one section of a document tells its reader to type.
func ScriptOf(document, heading string) (string, error) {
	text, err := os.ReadFile(document)
	if err != nil {
		return "", err
	}
	_, section, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	if !ok {
		return "", fmt.Errorf("%s has no section %q", document, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return script([]byte(section + "\n")), nil
}

func script(text []byte) string {
	var script strings.Builder
	for _, at := range block.FindAllIndex(text, -1) {
		lines := strings.Split(strings.TrimSuffix(string(text[at[0]:at[1]]), "\n"), "\n")
		if strings.HasPrefix(lines[0], "```") {
			lines = lines[1 : len(lines)-1]
		} else {
			for i := range lines {
				lines[i] = strings.TrimPrefix(lines[i], "    ")
			}
		}
		content := strings.Join(lines, "\n") + "\n"
		if m := named.FindSubmatch(text[:at[0]]); m != nil {
			content = fmt.Sprintf("cat >%s <<'END OF FILE'\n%sEND OF FILE\n", m[1], content)
		}
		script.WriteString(content)
	}
	return script.String()
}
