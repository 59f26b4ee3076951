package commit

import (
	"slices"
	"time"
)

// readEvery is how often the changes of other dhcp4d are read.
const readEvery = 100 * time.Millisecond

// follow reads the changes of other dhcp4d, beside the commits.
func (c *Committer[R]) follow() {
	c.reading.Lock()
	defer c.reading.Unlock()
	if !c.failed.Load() && time.Since(c.readAt) > readEvery/2 {
		_ = c.readForeign(c.durable.Load()) // if the error lasts, Check fails
	}
}

// readForeign reads the leases that other dhcp4d have changed, as they are after group seq, and
// passes them to the table. Then it notes them in those of the gathering and the committing group
// that have unsure replies, because these may have been decided before. The caller holds reading.
func (c *Committer[R]) readForeign(seq uint64) error {
	if s := c.shared.Share(); s != c.share {
		c.share = s
		c.cfg.Share(s)
	}
	ended := 0 // how many of removed belong to groups that have ended
	again := slices.Clone(c.again)
	c.mu.Lock()
	for i, r := range c.removed {
		again = append(again, r.id)
		if r.seq <= seq {
			ended = i + 1
		}
	}
	c.mu.Unlock()
	changed, err := c.shared.Foreign(again)
	if err != nil {
		return err
	}
	c.readAt = time.Now()
	c.cfg.Metrics.foreignRead(c.readAt, len(changed))
	c.again = c.again[:0]
	if len(changed) > 0 {
		c.again = append(c.again, c.cfg.Foreign(changed, seq)...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removed = slices.Delete(c.removed, 0, ended)
	for _, g := range []*Group[R]{c.gathering, c.committing} {
		if g != nil && g.Replies.Unsure() {
			for i := range changed {
				g.Foreign.Add(&changed[i])
			}
		}
	}
	return nil
}
