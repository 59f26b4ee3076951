package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
)

// image is the files of a store, by name.
type image map[string][]byte

// imageOf reads /leases. The lock is left out.
func imageOf(t testing.TB, fsys vfs.FS) image {
	t.Helper()
	names, err := fsys.List("/leases")
	if err != nil {
		t.Fatal(err)
	}
	m := make(image)
	for _, name := range names {
		if name == disk.LockName {
			continue
		}
		info, err := fsys.Stat("/leases/" + name)
		if err != nil {
			t.Fatal(err)
		}
		content, err := disk.ReadFile(fsys, "/leases", name, make([]byte, info.Size()))
		if err != nil {
			t.Fatal(err)
		}
		m[name] = content
	}
	return m
}

// build makes a file system of it.
func (m image) build(t testing.TB) vfs.FS {
	t.Helper()
	mem := vfs.NewMem()
	if err := mem.MkdirAll("/leases", 0o750); err != nil {
		t.Fatal(err)
	}
	for name, content := range m {
		f, err := mem.Create("/leases/"+name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Write(slices.Clone(content)) // with the race detector, Write changes its argument
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return mem
}

func (m image) segments() (names []string) {
	for name := range m {
		if strings.HasPrefix(name, "segment-") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// state is what a store holds: the version of the record of each address, 0 for none.
type state [storetest.Addresses]lease.Time

// held is the state of an open store. A record that was never written is an error.
func held(s store.Store) (st state, err error) {
	_, err = s.Load(func(b *lease.Binding) error {
		a := b.Addr.As4()
		n := int(a[2])<<8 | int(a[3])
		want := storetest.Binding(n)
		want.Changed = b.Changed
		if !storetest.Same(b, &want) {
			return fmt.Errorf("%+v was never written", b)
		}
		st[n] = b.Changed
		return nil
	})
	return st, err
}

// history is the states of a store after each commit.
type history []state

// after is the number of commits after which a store held that, -1 if it never did.
func (h history) after(st state) int {
	return slices.Index(h, st)
}

// specimen is a store that is to be damaged.
type specimen struct {
	kind     string
	files    image
	older    image // of the same store, some commits earlier
	stranger image // of another store with the same names
	history  history
	// safe is the number of commits that no damage may take away unnoticed: all of them after a
	// stop, those before the last watermark after a crash.
	safe int
}

// specimens makes a store that was stopped and one that crashed, each of so many commits.
func specimens(t *testing.T, kind string, commits int) map[string]*specimen {
	t.Helper()
	run := func(seed uint64) (stopped, crashed, older image, h history, marked int) {
		mem := vfs.NewCrashableMem()
		s := mustOpen(t, kind+":/leases", small(mem))
		w := storetest.NewWorkload(seed)
		h = history{state{}}
		for n := range commits {
			if err := w.Step(s); err != nil {
				t.Fatal(err)
			}
			h = append(h, state(w.Known()))
			if n == commits-20 {
				older = imageOf(t, mem.CrashClone(vfs.CrashCloneCfg{}))
			}
			if n == commits-6 { // a second before the crash
				if err := errors.Join(s.Check(), s.KeepClockMark(clock.Mark{})); err != nil {
					t.Fatal(err)
				}
				marked = n + 1
			}
		}
		crashed = imageOf(t, mem.CrashClone(vfs.CrashCloneCfg{}))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return imageOf(t, mem), crashed, older, h, marked
	}
	stopped, crashed, older, h, marked := run(5)
	strangerStopped, strangerCrashed, _, _, _ := run(6)
	return map[string]*specimen{
		"after a stop":  {kind, stopped, older, strangerStopped, h, commits},
		"after a crash": {kind, crashed, older, strangerCrashed, h, marked},
	}
}

// try opens a damaged copy. It reports whether it was refused, and how many commits are there if
// not.
func (s *specimen) try(t *testing.T, what string, m image) (refused bool, commits int) {
	t.Helper()
	fsys := m.build(t)
	opened, err := engine.Open(s.kind+":/leases", small(fsys))
	if err == nil {
		defer func() { _ = opened.Close() }()
		var st state
		if st, err = held(opened); err == nil {
			if commits = s.history.after(st); commits < 0 {
				t.Errorf("%s: what it serves it has never held", what)
			}
			return false, commits
		}
	}
	if text := err.Error(); !strings.Contains(text, "/leases") || strings.Contains(text, "\n") {
		t.Errorf("%s: said %v", what, err)
	}
	if after := imageOf(t, fsys); !maps.EqualFunc(after, m, bytes.Equal) {
		t.Errorf("%s: refused, but changed", what)
	}
	return true, 0
}

// damages calls try with every damage that is thought of here.
func (s *specimen) damages(try func(what string, m image)) {
	with := func(name string, content []byte) image {
		m := maps.Clone(s.files)
		m[name] = content
		return m
	}
	without := func(name string) image {
		m := maps.Clone(s.files)
		delete(m, name)
		return m
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for name, content := range s.files {
		try("without "+name, without(name))
		// Cut and longer.
		for at := 0; at < len(content); at += disk.BlockSize {
			for _, cut := range []int{at, at + 1, at + headerLen, min(at+disk.BlockSize, len(content)) - 1} {
				if cut < len(content) {
					try(fmt.Sprintf("%s cut at %d", name, cut), with(name, content[:cut]))
				}
			}
		}
		try(name+" longer by an octet", with(name, append(slices.Clone(content), 0)))
		try(name+" longer by a block", with(name, append(slices.Clone(content), make([]byte, disk.BlockSize)...)))
		// Zeroed and overwritten.
		for at := 0; at < len(content); at += disk.BlockSize {
			end := min(at+disk.BlockSize, len(content))
			zeroed := slices.Clone(content)
			clear(zeroed[at:end])
			try(fmt.Sprintf("%s zeroed at %d", name, at), with(name, zeroed))
			zeroed = slices.Clone(content)
			clear(zeroed[at:])
			try(fmt.Sprintf("%s zeroed from %d", name, at), with(name, zeroed))
			random := slices.Clone(content)
			for i := at; i < end; i++ {
				random[i] = byte(rng.Uint32())
			}
			try(fmt.Sprintf("%s overwritten at %d", name, at), with(name, random))
		}
		// Single octets: all of each first header, some of each block.
		for at := 0; at < len(content); at += disk.BlockSize {
			offsets := []int{at, at + 5, at + 9, at + 17, at + 21, at + 25, at + 33, at + 49, at + 60, at + 200, at + 1000, at + 4000}
			if at == 0 || at == 3*disk.BlockSize {
				for i := range 80 {
					offsets = append(offsets, at+i)
				}
			}
			for _, i := range offsets {
				if i < len(content) {
					flipped := slices.Clone(content)
					flipped[i] ^= 1 << rng.UintN(8)
					try(fmt.Sprintf("%s with octet %d flipped", name, i), with(name, flipped))
				}
			}
		}
		// Other files in its place.
		for other, theirs := range s.files {
			if other != name {
				try(fmt.Sprintf("%s is a copy of %s", name, other), with(name, theirs))
				swapped := with(name, theirs)
				swapped[other] = content
				try(fmt.Sprintf("%s and %s are swapped", name, other), swapped)
				renamed := without(other)
				renamed[name] = theirs
				try(fmt.Sprintf("%s has become %s", other, name), renamed)
			}
		}
		if old, ok := s.older[name]; ok {
			try("an older "+name, with(name, old))
		}
		if theirs, ok := s.stranger[name]; ok {
			try("another store's "+name, with(name, theirs))
		}
	}
	for name, content := range s.older {
		if s.files[name] == nil {
			try("an old "+name+" put back", with(name, content))
		}
	}
	if names := s.files.segments(); len(names) > 0 {
		last, err := strconv.ParseUint(strings.TrimPrefix(names[len(names)-1], "segment-"), 10, 32)
		if err != nil {
			panic(err)
		}
		highest := uint32(last)
		for _, name := range names {
			for _, number := range []uint32{1, highest + 1, highest + 2} {
				if _, ok := s.files[segmentName(number)]; !ok {
					try(fmt.Sprintf("%s copied as number %d", name, number), with(segmentName(number), s.files[name]))
					moved := without(name)
					moved[segmentName(number)] = s.files[name]
					try(fmt.Sprintf("%s renamed to number %d", name, number), moved)
				}
			}
		}
		// Several segments at the end gone together.
		for i := range names {
			m := maps.Clone(s.files)
			for _, name := range names[i:] {
				delete(m, name)
			}
			try(fmt.Sprintf("without segments from %s on", names[i]), m)
			m = maps.Clone(s.files)
			for _, name := range names[i:] {
				m[name] = make([]byte, len(m[name]))
			}
			try(fmt.Sprintf("segments zeroed from %s on", names[i]), m)
		}
	}
	try("all but the label gone", image{disk.LabelName: s.files[disk.LabelName]})
	try("all but the label and the watermark gone", image{disk.LabelName: s.files[disk.LabelName], disk.WatermarkName: s.files[disk.WatermarkName]})
}

// Whatever is broken: what was acknowledged is served, or the start is refused with a word and
// changes nothing. After a crash, what was acknowledged in the last second may be gone unnoticed if
// the end of the newest file is broken.
func TestDamageIsRefusedOrLosesNothing(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		for name, s := range specimens(t, kind, 150) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if refused, commits := s.try(t, "undamaged", s.files); refused || commits != len(s.history)-1 {
					t.Fatalf("undamaged: refused %v, %d commits", refused, commits)
				}
				tries, refusals, short := 0, 0, 0
				n := 0
				s.damages(func(what string, m image) {
					if n++; n%stridden != 0 {
						return
					}
					refused, commits := s.try(t, what, m)
					switch {
					case refused:
						refusals++
					case commits >= 0 && commits < s.safe:
						t.Errorf("%s: %d commits are there, %d were acknowledged, and no word of it", what, commits, s.safe)
					case commits < len(s.history)-1:
						short++
					}
					tries++
				})
				t.Logf("%d damages: %d refused, %d lost nothing, %d lost some of the last second", tries, refusals, tries-refusals-short, short)
			})
		}
	})
}

// A write that a crash cut short is no damage: it was never acknowledged.
func TestAJournalTakesATornTail(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, "journal:/leases", small(mem))
	many := make([]lease.Binding, 60) // of more than one block
	for i := range many {
		many[i] = storetest.Binding(i)
	}
	for _, group := range [][]lease.Binding{{storetest.Binding(100)}, many} {
		if _, err := s.Commit(group); err != nil {
			t.Fatal(err)
		}
	}
	after := imageOf(t, mem.CrashClone(vfs.CrashCloneCfg{}))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	name := "segment-0000000001"
	clear(after[name][2*disk.BlockSize:])
	again := after.build(t)
	s = mustOpen(t, "journal:/leases", small(again))
	if got := storetest.Contents(t, s); len(got) != 1 {
		t.Errorf("holds %d", len(got))
	}
	if _, err := s.Commit([]lease.Binding{storetest.Binding(101)}); err != nil {
		t.Error(err)
	}
	if got := storetest.Contents(t, s); len(got) != 2 {
		t.Errorf("holds %d", len(got))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func segmentName(number uint32) string { return fmt.Sprintf("segment-%010d", number) }

// headerLen is the length of the header of a batch in a journal.
const headerLen = 52
