package client

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Follow keeps the servers of option 88 known for somebody who needs nothing
// else of DHCPv6, a 4o6 relay agent for instance (RFC 9928 §3): it asks until
// it is answered, and again on the information refresh time, or after bound
// when that is shorter and not 0. Changed is told of the servers at first, and
// when they are others than before: none when a Reply has no option 88, so
// that no query may be sent (RFC 7341 §9). While a refresh is not answered
// what was learned before holds on (RFC 9915 §21.23).
//
// It returns when the context ends, or with what keeps it from asking.
func (c *Client) Follow(ctx context.Context, bound time.Duration, changed func([]netip.Addr)) error {
	ask := *c
	ask.options.Retransmit.Tries = 0 // until somebody answers, as RFC 9915 §18.2.6 has it
	for first := true; ; first = false {
		known := ask.servers
		info, err := ask.Information(ctx, also)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("asking for option 88: %w", err)
		}
		if first || !slices.Equal(known, info.Servers) {
			changed(info.Servers)
		}
		again := info.again(bound)
		if !again.IsZero() { // those who learned at the same time do not ask at the same time
			again = again.Add(time.Duration(c.random.Int64N(int64(maxDelay))))
		}
		if pause(ctx, again) != nil {
			return nil
		}
	}
}

// maxDelay is INF_MAX_DELAY (RFC 9915 §7.6).
const maxDelay = time.Second

// again is when to ask again: after the refresh time, or bound if that is
// shorter and not 0. Zero is never.
func (i *Information) again(bound time.Duration) time.Time {
	after := i.Refresh
	if bound > 0 {
		after = min(after, bound)
	}
	if after >= Infinite {
		return time.Time{}
	}
	return time.Now().Add(after)
}
