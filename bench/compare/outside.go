package compare

import (
	"context"
	"log/slog"
	"path/filepath"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/outside/program"
)

// keepVerdict is how many seconds a verdict is known, longer than a measurement takes.
const keepVerdict = 86400

// socket is where the program outside listens.
func (s *subject) socket() string { return filepath.Join(s.dir, "outside") }

// rules are a rule at each of three points, which look at every query and let it pass.
var rules = []string{
	"DHCP4D_HOOKS=rules", "DHCP4D_RULES_REASONS=unpaid",
	"DHCP4D_RULES_LINES=pkt4_receive: substring(pkt4.mac, 0, 3) == 0xffffff -> drop unpaid\n" +
		"subnet4_select: option[12].text == 'nobody' -> drop unpaid\n" +
		"pkt4_send: option[61].hex == 0x00 -> drop unpaid",
}

// outside is the configuration of our dhcp4d for the program. All clients of a bench are at a few
// attachment points.
func (s *subject) outside() []string {
	key := "pkt4.mac"
	if likeOurs(s.name) == OursKnown {
		// A verdict is known to all but the first few clients of a run: each run has others.
		key = "substring(pkt4.mac, 4, 2)"
	}
	return []string{
		"DHCP4D_HOOKS=outside", "DHCP4D_OUTSIDE_SOCKET=" + s.socket(), "DHCP4D_OUTSIDE_KEY=" + key,
		"DHCP4D_OUTSIDE_TIMEOUT=2s", "DHCP4D_OUTSIDE_PARKED_POINT=4096",
	}
}

// answer runs a program outside in this process, which lets every client pass. End ends it.
func answer(ctx context.Context, socket string, keep bool) (end func() error) {
	verdict := outside.Answer{Verdict: outside.Continue}
	if keep {
		verdict.Keep = keepVerdict
	}
	p := program.Program{
		Socket: socket, Name: "bench", Log: slog.New(slog.DiscardHandler),
		Decide: func(*outside.Query) outside.Answer { return verdict },
	}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	return func() error {
		stop()
		return <-done
	}
}
