package radius

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// complainEvery is the least time between two lines of the log about one kind of trouble, so that
// neither many clients nor anybody who can send us a datagram can fill the disk.
const complainEvery = 10 * time.Second

// complaints logs one kind of trouble now and then. Any goroutine may call its method.
type complaints struct {
	ctx context.Context // of the program: nothing is logged after its end
	log *slog.Logger

	mu       sync.Mutex
	last     time.Time
	unlogged int
}

// add logs what is wrong, or counts it if the last line is not old enough.
func (c *complaints) add(what string, facts ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil || time.Since(c.last) < complainEvery {
		c.unlogged++
		return
	}
	c.log.Warn(what, append(facts, "unlogged", c.unlogged)...) //nolint:sloglint // the callers' texts are constants
	c.last, c.unlogged = time.Now(), 0
}
