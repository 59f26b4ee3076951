package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/kea"
)

// importConfig writes the subnets document that a configuration of Kea's becomes.
func (c *call) importConfig(args []string) error {
	f := c.flags("import-config")
	dir := f.String("dir", "",
		"`directory` for the files subnets.yml, dhcp4d.env and rules; the report goes to standard output then")
	if err := f.Parse(args); err != nil {
		return err
	}
	name, err := one(f, "file of Kea's, such as /etc/kea/kea-dhcp4.conf")
	if err != nil {
		return err
	}
	imported, err := kea.Import(name, os.ReadFile)
	if err != nil {
		return fmt.Errorf("import-config: %w", err)
	}
	if *dir == "" {
		return errors.Join(writeImported(c.stdout, imported), writeVerdicts(c.stderr, imported.Report))
	}
	env := imported.Environment
	files := map[string][]byte{"subnets.yml": imported.Document}
	env = append([]string{"DHCP4D_SUBNETS_FILE=" + filepath.Join(*dir, "subnets.yml")}, env...)
	if len(imported.Rules) > 0 {
		files["rules"] = imported.Rules
		env = append(env, "DHCP4D_RULES_LINES_FILE="+filepath.Join(*dir, "rules"))
	}
	files["dhcp4d.env"] = []byte(strings.Join(env, "\n") + "\n")
	for _, name := range []string{"subnets.yml", "rules", "dhcp4d.env"} {
		if content, ok := files[name]; ok {
			if err := writeNew(filepath.Join(*dir, name), content); err != nil {
				return fmt.Errorf("import-config: %w", err)
			}
		}
	}
	return writeVerdicts(c.stdout, imported.Report)
}

// writeNew writes a file that must not be there yet.
func writeNew(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

// writeImported writes the document, and before it as comments what does not belong into it.
func writeImported(w io.Writer, i *kea.Imported) error {
	var b strings.Builder
	for _, v := range i.Environment {
		b.WriteString("# " + v + "\n")
	}
	for line := range strings.Lines(string(i.Rules)) {
		b.WriteString("# DHCP4D_RULES_LINES: " + line)
	}
	b.Write(i.Document)
	_, err := io.WriteString(w, b.String())
	return err
}

// writeVerdicts writes the report line by line, and how many lines there are of each verdict.
func writeVerdicts(w io.Writer, lines []kea.Line) error {
	var b strings.Builder
	var count [3]int
	for _, l := range lines {
		count[l.Verdict]++
		b.WriteString(l.String() + "\n")
	}
	fmt.Fprintf(&b, "%d taken, %d changed, %d left\n", count[kea.Taken], count[kea.Changed], count[kea.Left])
	_, err := io.WriteString(w, b.String())
	return err
}
