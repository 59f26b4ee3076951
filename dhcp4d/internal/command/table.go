package command

import (
	"io"
	"strings"
	"unicode/utf8"
)

// table writes rows in columns as they come, however many. The first rows are held back and give
// the columns their widths. A column grows when a longer cell comes later.
type table struct {
	w      io.Writer
	limit  int // longest cell in characters, the rest of it is cut off; 0: none
	widths []int
	held   [][]string
	begun  bool
}

// heldRows is how many rows are held back.
const heldRows = 500

// row adds a row. The last cell of a row has no limit.
func (t *table) row(cells ...string) error {
	if t.widths == nil {
		t.widths = make([]int, len(cells))
	}
	for i, c := range cells {
		n := utf8.RuneCountInString(c)
		if t.limit > 0 && n > t.limit && i < len(cells)-1 {
			cells[i], n = string([]rune(c)[:t.limit-1])+"…", t.limit
		}
		t.widths[i] = max(t.widths[i], n)
	}
	if t.begun {
		return t.write(cells)
	}
	if t.held = append(t.held, cells); len(t.held) == heldRows {
		return t.flush()
	}
	return nil
}

// flush writes the rows that are held back.
func (t *table) flush() error {
	t.begun = true
	for _, cells := range t.held {
		if err := t.write(cells); err != nil {
			return err
		}
	}
	t.held = nil
	return nil
}

func (t *table) write(cells []string) error {
	var b strings.Builder
	for i, c := range cells {
		b.WriteString(c)
		if i < len(cells)-1 {
			b.WriteString(strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(c)+2))
		}
	}
	_, err := io.WriteString(t.w, b.String()+"\n")
	return err
}
