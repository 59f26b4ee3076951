package client

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Follow keeps track of the servers in option 88, for a user that needs nothing else of DHCPv6,
// such as a 4o6 relay agent (RFC 9928 §3). It asks until a server answers. It asks again after the
// information refresh time, or after bound if that is shorter and not 0.
//
// Follow calls changed with the first list of servers, and again whenever the list changes. The
// list is empty if a Reply has no option 88: then the caller must not send queries (RFC 7341 §9).
// While a refresh has no answer, the earlier list stays valid (RFC 9915 §21.23).
//
// Follow returns nil when ctx ends, or the error that keeps it from asking.
func (c *Client) Follow(ctx context.Context, bound time.Duration, changed func([]netip.Addr)) error {
	ask := *c
	ask.options.Retransmit.Tries = 0 // until a server answers (RFC 9915 §18.2.6)
	for first := true; ; first = false {
		known := ask.servers
		info, err := ask.Information(ctx, also)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // ctx has ended
		}
		if err != nil {
			return fmt.Errorf("asking for option 88: %w", err)
		}
		if first || !slices.Equal(known, info.Servers) {
			changed(info.Servers)
		}
		again := info.again(bound)
		if !again.IsZero() { // so that clients that learned at the same time do not ask at the same time
			again = again.Add(time.Duration(c.random.Int64N(int64(maxDelay))))
		}
		if pause(ctx, again) != nil {
			return nil //nolint:nilerr // ctx has ended
		}
	}
}

// maxDelay is INF_MAX_DELAY (RFC 9915 §7.6).
const maxDelay = time.Second

// again returns when to ask again: after the refresh time, or after bound if that is shorter and
// not 0. The zero time means never.
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
