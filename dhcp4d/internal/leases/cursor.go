package leases

import (
	"fmt"
	"strconv"
	"strings"
)

// Cursor is where a page of leases begins: a place of the scan, and how many of the leases found
// there came on the page before. The zero Cursor is the beginning.
type Cursor struct {
	Place Place
	Skip  int
}

// String returns the cursor as [ParseCursor] reads it.
func (c Cursor) String() string {
	return strconv.FormatUint(uint64(c.Place), 36) + "." + strconv.Itoa(c.Skip)
}

// ParseCursor parses a cursor. The empty text is the beginning.
func ParseCursor(s string) (c Cursor, err error) {
	if s == "" {
		return c, nil
	}
	place, skip, ok := strings.Cut(s, ".")
	p, err1 := strconv.ParseUint(place, 36, 64)
	n, err2 := strconv.ParseUint(skip, 10, 16)
	if !ok || err1 != nil || err2 != nil {
		return c, fmt.Errorf("%.40q is no cursor", s)
	}
	return Cursor{Place(p), int(n)}, nil
}
