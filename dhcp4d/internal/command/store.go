package command

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/postgres"
)

func storeActions() []action {
	return []action{
		{"repair", "[-accept-loss]", "say whether the store of a stopped dhcp4d is damaged, " +
			"what can be saved and what is lost; with -accept-loss repair it",
			"Copy the directory of the store away first. dhcp4d recovers afterwards, as with -recovery.",
			(*call).repair},
		{"check", "", "look whether a PostgreSQL database can be the store, without changing it",
			"Other dhcp4d may use the database meanwhile.", (*call).checkStore},
		{"migrate", "", "make the tables of a store in a PostgreSQL database, or change those of an earlier version",
			"Stop every dhcp4d that uses the tables first.", (*call).migrate},
	}
}

// stores is dhcp4d store.
func stores(c *call, args []string) error {
	return c.act("store", storeActions(), args, "\nEach tells more with -h.\n")
}

// repair looks at a store, and repairs it if that is wanted.
func (c *call) repair(args []string) error {
	f := c.flags("store repair")
	accept := f.Bool("accept-loss", false, "give up what cannot be read, so that dhcp4d can start")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return errors.New("store repair takes no arguments; the store is the one of DHCP4D_STORE")
	}
	conf, err := config.Load(c.environ)
	if err != nil {
		return err
	}
	if conf.Store == (config.Store{}) {
		return errors.New("DHCP4D_STORE is memory:, which holds nothing while no dhcp4d runs")
	}
	log := slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	r, err := engine.Repair(conf.Store.URL(), engine.Options{Log: log, Now: clock.New(c.clocks).Now}, *accept)
	if err != nil {
		return err
	}
	return c.report(r)
}

// database is the URL of the database for a command that takes no arguments.
func (c *call) database(command string, args []string) (string, error) {
	f := c.flags(command)
	if err := f.Parse(args); err != nil {
		return "", err
	}
	if f.NArg() > 0 {
		return "", fmt.Errorf("%s takes no arguments; the database is the one of DHCP4D_STORE", command)
	}
	s, err := config.LoadStore(c.environ)
	if err != nil {
		return "", err
	}
	if s.Database == "" {
		return "", fmt.Errorf("DHCP4D_STORE is %s, and %s is for a database: postgres://user@host/database",
			s.URL(), command)
	}
	return s.URL(), nil
}

// checkStore looks at a database.
func (c *call) checkStore(args []string) error {
	url, err := c.database("store check", args)
	if err != nil {
		return err
	}
	var failed error
	for _, k := range postgres.Check(c.ctx, url) {
		word := "ok  "
		switch {
		case k.Err != nil:
			word, k.Note, failed = "FAIL", k.Err.Error(), errors.New("dhcp4d cannot use the database as it is")
		case k.Warn:
			word = "warn"
		}
		if _, err := fmt.Fprintf(c.stdout, "%s  %s: %s\n", word, k.What, k.Note); err != nil {
			return err
		}
	}
	return failed
}

// migrate makes the tables of a database.
func (c *call) migrate(args []string) error {
	url, err := c.database("store migrate", args)
	if err != nil {
		return err
	}
	m, err := postgres.Migrate(c.ctx, url)
	switch {
	case err != nil:
		return err
	case m.From == m.To:
		_, err = fmt.Fprintf(c.stdout, "the tables are of version %d already\n", m.To)
	case m.From == 0:
		_, err = fmt.Fprintf(c.stdout, "the tables are made, version %d\n", m.To)
	default:
		_, err = fmt.Fprintf(c.stdout, "the tables are of version %d, they were of version %d\n", m.To, m.From)
	}
	return err
}

// report says what a repair has found and done.
func (c *call) report(r store.Repaired) error {
	if r.Damage == nil {
		_, err := fmt.Fprintf(c.stdout, "the store is sound: %d leases\n", r.Leases)
		return err
	}
	text := fmt.Sprintf("%v\n%d leases can be read; %d groups of changes cannot", r.Damage, r.Leases, r.Lost)
	if r.Since != 0 {
		text += ", the first of them written after " + time.Unix(int64(r.Since), 0).UTC().Format(time.RFC3339) +
			" by the clock of the store"
	}
	text += "\nafter a crash, changes of its last second may be missing besides\n"
	if r.Changed {
		text += "repaired: when dhcp4d is started, for one lease time no client gets an address that is new to it, " +
			"because another may use it\n"
	} else {
		text += "nothing was changed; to give up what cannot be read, copy the directory away and run dhcp4d store " +
			"repair -accept-loss\n"
	}
	_, err := fmt.Fprint(c.stdout, text)
	return err
}
