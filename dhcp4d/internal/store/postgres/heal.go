package postgres

import (
	"errors"
	"fmt"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// errForgotten is the failure of a database that has lost commits.
var errForgotten = errors.New("the database has forgotten commits that were acknowledged, as it does when it fails " +
	"over to a standby that is not synchronous: dhcp4d puts back what it has in memory")

// sqlRestore stores records where the database has none, or an older one. A record whose commit has
// not stood was never acknowledged. So it replaces only what a commit may replace: another dhcp4d
// may have acknowledged what is there.
const sqlRestore = `WITH done AS (` + insert + replace +
	` WHERE l.changed < excluded.changed AND ($18::bool OR ` + mayReplace + `)` + returning + note + ` FROM done`

// forgotten notes that the database has lost commits. A dhcp4d that starts before they are put back
// must recover.
func (p *Store) forgotten() error {
	p.side.mu.Lock()
	defer p.side.mu.Unlock()
	if !p.forgot.Swap(true) {
		p.side.before = p.side.repair
	}
	p.side.lost = true
	if err := p.setMeta("repaired", "yes"); err != nil {
		return fmt.Errorf("%w; if it ends before, start it again with DHCP4D_RECOVERY=true, because that could not "+
			"be noted: %w", errForgotten, err)
	}
	return errForgotten
}

// Forgot implements store.Healer.
func (p *Store) Forgot() bool { return p.forgot.Load() }

// Heal implements store.Healer. What it stores is in the table change, so the other processes hear
// of it.
func (p *Store) Heal(each func(take store.Take) error) (restored int, err error) {
	var stood, others lease.Batch
	put := func(batch *lease.Batch) error {
		if len(batch.Records) == 0 {
			return nil
		}
		group := &p.group
		group.fill(batch.Records)
		group.restores, group.stood = true, batch == &stood
		_, err := p.attempt(p.mine.wseq+1, group)
		group.restores = false
		if err != nil {
			return err
		}
		p.mine.wseq++
		p.stood.Store(p.mine.wseq)
		restored += group.stored
		batch.Reset()
		return nil
	}
	err = each(func(b *lease.Binding, had bool) error {
		batch := &others
		if had {
			batch = &stood
		}
		if batch.Add(b); len(batch.Records) == restoreGroup {
			return put(batch)
		}
		return nil
	})
	if err == nil {
		err = put(&stood)
	}
	if err == nil {
		err = put(&others)
	}
	if err != nil {
		return restored, fmt.Errorf("lease store %s: putting back what the database has forgotten: %w", p.url, err)
	}
	if !p.side.before { // otherwise leases are missing for another reason, too
		if err := p.setRepaired(false); err != nil {
			return restored, err
		}
	}
	p.forgot.Store(false)
	return restored, nil
}

// restoreGroup is the number of records that Heal puts back at once.
const restoreGroup = 256
