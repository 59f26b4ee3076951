package pebble

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
)

// formatVersion is pinned: a newer Pebble must not change the format on disk until this line
// changes.
const formatVersion = pebble.FormatValueSeparation

// options returns Pebble's options for our use: small records, most of which replace older ones,
// and one sync for each batch.
func (s *pebbleStore) options(readOnly bool) *pebble.Options {
	o := &pebble.Options{
		FS:                 s.outer(),
		Lock:               s.Lock(),
		ReadOnly:           readOnly,
		Merger:             headerMerger,
		Logger:             logger{s.fence, s.o.Log},
		FormatMajorVersion: formatVersion,
		// The daemon has the leases in its own table and never reads them here, so the cache serves
		// compactions only.
		CacheSize: 4 << 20,
		// There are at most two: one is filled while the other becomes a table, which takes a tenth
		// of the time. A third costs 6 MB and saves nothing. Larger ones absorb more overwriting in
		// memory, but a start after a crash then replays more. With a million leases, 8 MB save a
		// tenth of a renewal's cost over 4 MB.
		MemTableSize:                8 << 20,
		MemTableStopWritesThreshold: 2,
		L0CompactionThreshold:       8,
		L0StopWritesThreshold:       1000, // an ACK never waits for a compaction
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                256,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
		DisableTableStats:           true,
		MaxManifestFileSize:         1 << 20,
		EventListener: &pebble.EventListener{
			BackgroundError: s.fence.fail,
			DataCorruption:  func(i pebble.DataCorruptionInfo) { s.fence.fail(i.Details) },
		},
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = 32 << 10
		// Client identifiers and addresses hardly compress.
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = 8 << 20
	}
	if s.o.Small {
		o.MemTableSize = 16 << 10
		o.L0CompactionThreshold = 2
		o.MaxManifestFileSize = 1 << 10
	}
	return o
}

// checkOptions refuses the file of Pebble's options that is damaged. Pebble would not name it, and
// it holds nothing that is needed.
func (s *pebbleStore) checkOptions(name string) error {
	if name == "" {
		return nil
	}
	name = s.o.FS.PathBase(name)
	text, err := disk.ReadFile(s.o.FS, s.dir, name, make([]byte, 64<<10))
	if err != nil {
		return disk.Damaged(err)
	}
	options := s.options(true)
	options.EnsureDefaults()
	if err := options.CheckCompatibility(s.dir, string(text)); err != nil {
		why, _, _ := strings.Cut(err.Error(), "\n")
		return fmt.Errorf("is damaged: %s: %s; move that file away, no lease is in it", name, why)
	}
	return nil
}

// outer returns the file system that Pebble sees.
func (s *pebbleStore) outer() vfs.FS {
	if s.o.wrap != nil {
		return s.o.wrap(s.fence)
	}
	return s.fence
}

// logger takes Pebble's log lines.
type logger struct {
	fence *fence
	log   *slog.Logger
}

func (l logger) Infof(string, ...any) {}

func (l logger) Errorf(format string, args ...any) {
	l.log.Debug("pebble", "says", fmt.Sprintf(format, args...))
}

// Fatalf returns, which Pebble does not expect. Before it returns, the store has failed, so that
// nobody believes a Commit that Pebble reports as done.
func (l logger) Fatalf(format string, args ...any) {
	l.fence.fail(fmt.Errorf(format, args...))
}
