// Package spelling finds the known name that a misspelt one most likely means, for the remedy of a
// mistake in the configuration.
package spelling

// Nearest returns the known name with the fewest single octets to insert, delete or replace, and
// the first of several such names. It returns "" if every name takes more than most of them, and
// for names longer than longest.
func Nearest(name string, known []string, most int) string {
	if len(name) > longest {
		return ""
	}
	best, least := "", most+1
	for _, k := range known {
		if max(len(name), len(k))-min(len(name), len(k)) >= least {
			continue // the difference in length alone is too much
		}
		if d := distance(name, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// longest is how many octets a name has at most that somebody may have misspelt. To compare two
// names takes as many steps as the product of their lengths.
const longest = 128

// distance returns how many single octets to insert, delete or replace make b out of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
