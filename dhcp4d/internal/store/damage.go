package store

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// damage is the error of a store that is damaged. Its text follows the name of the directory.
type damage struct {
	file string
	at   int64 // offset in the file; -1 where there is none
	why  string
	lost loss
}

// loss is the most that has been lost of the acknowledged changes.
type loss struct {
	known       bool       // whether the other fields are known
	first, last uint64     // batches; first > last: none
	since       lease.Time // the time of the last batch before them, 0 if that is not known
}

func (d *damage) Error() string {
	var b strings.Builder
	b.WriteString("is damaged: " + d.file)
	if d.at >= 0 {
		fmt.Fprintf(&b, " at offset %d", d.at)
	}
	b.WriteString(": " + d.why)
	if l := d.lost.String(); l != "" {
		b.WriteString("; " + l)
	}
	b.WriteString("; restore a backup, or see what can be saved with dhcp4d store repair")
	return b.String()
}

func (l loss) String() string {
	switch {
	case !l.known:
		return ""
	case l.first > l.last:
		return "no acknowledged lease is lost"
	}
	text := fmt.Sprintf("lost are at most the changes of batches %d to %d", l.first, l.last)
	if l.first == l.last {
		text = fmt.Sprintf("lost are at most the changes of batch %d", l.first)
	}
	if l.since != 0 {
		text += ", acknowledged after " + time.Unix(int64(l.since), 0).UTC().Format(time.RFC3339)
	}
	return text
}

// damaged is a damage that Pebble or the codec of records has found.
func damaged(err error) error {
	if errors.As(err, new(*damage)) {
		return err
	}
	why, _, _ := strings.Cut(err.Error(), "\n") // Pebble's go on with details
	return fmt.Errorf("is damaged: %s; restore a backup, or see what can be saved with dhcp4d store repair", why)
}
