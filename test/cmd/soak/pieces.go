package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A piece is one run of a soak. It is a file of the state directory, which is
// written anew after each step.
type piece struct {
	Began   time.Time
	Took    time.Duration
	Commit  string
	Results []result
}

// write writes the piece into the state directory, if there is one.
func (p *piece) write(dir string) error {
	if dir == "" {
		return nil
	}
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("keeping the state: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("keeping the state: %w", err)
	}
	name := filepath.Join(dir, p.Began.UTC().Format("20060102T150405.000")+".json")
	if err := os.WriteFile(name+".tmp", text, 0o644); err != nil {
		return fmt.Errorf("keeping the state: %w", err)
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return fmt.Errorf("keeping the state: %w", err)
	}
	return nil
}

// readPieces reads the pieces of a state directory, the oldest first.
func readPieces(dir string) (all []piece, err error) {
	if dir == "" {
		return nil, nil
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	slices.Sort(names) // by time
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading the state: %w", err)
		}
		var p piece
		if err := json.Unmarshal(text, &p); err != nil {
			return nil, fmt.Errorf("reading the state: %s: %w; remove it, or the whole directory to begin anew", name,
				err)
		}
		all = append(all, p)
	}
	return all, nil
}

// sum adds up the results of pieces, by step.
func sum(pieces []piece) map[string]result {
	all := make(map[string]result)
	for _, p := range pieces {
		for _, r := range p.Results {
			s := all[r.Name]
			all[r.Name] = result{r.Name, s.Took + r.Took, addLines(s.Kept, r.Kept), cmp.Or(s.Failed, r.Failed)}
		}
	}
	return all
}

// inOrder is the sum in the order of the steps' names.
func inOrder(pieces []piece) (list []result) {
	for _, r := range sum(pieces) {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b result) int {
		fuzz := func(r result) int { return strings.Count(r.Name[:4], "Fuzz") }
		return cmp.Or(cmp.Compare(fuzz(a), fuzz(b)), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// howToRepeat begins a line whose numbers are no counts.
const howToRepeat = "again: "

// parts takes a line apart at its counts: whole numbers that are no part of a time, a fraction or a
// word. The text is in front of each count, and behind the last.
func parts(line string) (text []string, counts []uint64) {
	if strings.HasPrefix(line, howToRepeat) {
		return []string{line}, nil
	}
	rest := 0
	for _, at := range digits.FindAllStringIndex(line, -1) {
		if strings.Trim(line[max(0, at[0]-1):at[0]], " (") != "" ||
			strings.Trim(line[at[1]:min(len(line), at[1]+1)], " ,;:)") != "" {
			continue
		}
		n, err := strconv.ParseUint(line[at[0]:at[1]], 10, 64)
		if err != nil {
			continue
		}
		text, counts, rest = append(text, line[rest:at[0]]), append(counts, n), at[1]
	}
	return append(text, line[rest:]), counts
}

var digits = regexp.MustCompile(`\d+`)

// addLines adds the counts of lines that say the same, the first of them to the first and so on.
// Others are kept as they are.
func addLines(old, more []string) []string {
	sum := slices.Clone(old)
	used := make([]bool, len(old))
next:
	for _, line := range more {
		text, counts := parts(line)
		for i := range used {
			if same, before := parts(sum[i]); !used[i] && slices.Equal(same, text) {
				used[i] = true
				var b strings.Builder
				for j, n := range counts {
					fmt.Fprintf(&b, "%s%d", text[j], n+before[j])
				}
				sum[i] = b.String() + text[len(text)-1]
				continue next
			}
		}
		if !slices.Contains(sum, line) {
			sum = append(sum, line)
		}
	}
	return sum
}
