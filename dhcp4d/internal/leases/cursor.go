package leases

import (
	"fmt"
	"strconv"
	"strings"
)

// Cursor is where a page of leases begins: a position of the scan, and how many of the leases found
// there came on the page before. The zero Cursor is the beginning.
type Cursor struct {
	Position ScanPosition
	Skip     int
}

// String returns the cursor as [ParseCursor] reads it.
func (c Cursor) String() string {
	return strconv.FormatUint(uint64(c.Position), 36) + "." + strconv.Itoa(c.Skip)
}

// ParseCursor parses a cursor. The empty text is the beginning.
func ParseCursor(s string) (c Cursor, err error) {
	if s == "" {
		return c, nil
	}
	position, skip, ok := strings.Cut(s, ".")
	p, err1 := strconv.ParseUint(position, 36, 64)
	n, err2 := strconv.ParseUint(skip, 10, 16)
	if !ok || err1 != nil || err2 != nil {
		return c, fmt.Errorf("%.40q is no cursor", s)
	}
	return Cursor{ScanPosition(p), int(n)}, nil
}
