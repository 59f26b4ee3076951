package compose

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/test/monitoring"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
)

// Env switches the test on, because it takes minutes and needs a Docker engine.
const Env = "DHCP4O6_LAB"

func TestMain(m *testing.M) {
	if os.Getenv(Env) != "1" {
		fmt.Printf("the lab in containers is not tested here: %s=1 (make lab-test) does\n", Env)
		return
	}
	os.Exit(m.Run())
}

const (
	prometheusPort = "19090"
	prometheus     = Prometheus("http://127.0.0.1:" + prometheusPort)
	leaseTime      = 2 * time.Minute // a step lasts until the client's T1, and must end before its T2
)

// The two dhcp4d, by their server identifiers in the compose file.
var backends = map[string]string{"100.64.0.2": "dhcp4d-a", "100.64.0.3": "dhcp4d-b"}

// TestLab runs the compose file and does what an operator does with it.
func TestLab(t *testing.T) {
	if err := Engine(); err != nil {
		netnstest.Skip(t, err.Error())
	}
	l := up(t)
	steps := []struct {
		name string
		run  func(*testing.T, *lab)
	}{
		{"all are healthy and Prometheus sees both jobs up", healthy},
		{"the metrics of each daemon are on the loopback of this machine", published},
		{"the programs are in the PATH of their images", inPath},
		{"a client has a lease within half a minute", direct},
		{"a client behind the relay has a lease", relayed},
		{"a client gets its prefix from Kea and its IPv4 lease from dhcp4d, and others get leases while Kea is dead", behindKea},
		{"a client keeps its address while its dhcp4d is killed and comes back, other clients are served, the alert fires and ends", killed},
		{"the service recovers after the core network was cut for ten seconds", cut},
		{"under load every panel and every rule has data", loaded},
		{"three dhcp4d share a database, and clients retransmit at most once when one of them dies", shared},
	}
	for _, s := range steps {
		if !t.Run(s.name, func(t *testing.T) { s.run(t, l) }) {
			l.tell(t)
			return
		}
	}
}

// lab is the project, shared by all steps.
type lab struct {
	*Project
	client line // the lease of the client on the access network
}

// up builds the images and starts the servers. The end of the test removes everything.
func up(t *testing.T) *lab {
	t.Helper()
	command, err := Find()
	if err != nil {
		netnstest.Skip(t, err.Error())
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	p := &Project{Root: root, Name: "dhcp4o6-labtest", command: command, Env: []string{
		"IMAGE_DHCP6D=" + standInPrefix + "dhcp6d", "IMAGE_DHCP4D=" + standInPrefix + "dhcp4d", "IMAGE_LAB=" + standInPrefix + "tools",
		"PROMETHEUS_PORT=" + prometheusPort, "DHCP6D_METRICS_PORT=19566", "DHCP4D_A_METRICS_PORT=19567", "DHCP4D_B_METRICS_PORT=19568",
		"LEASE_TIME=" + leaseTime.String(), "LOAD_TIME=100s", "LOAD_RATE=200",
		"COMPOSE_PROFILES=", "VERSION=lab-test",
	}}
	t.Cleanup(func() { p.remove(t) })
	standIns(t, p)

	started := time.Now()
	for _, service := range []string{"dhcp6d", "dhcp4d-a", "client"} { // one for each image
		must(t)(p.Compose(t.Context(), "--profile", "client", "build", "--force-rm", service))
	}
	t.Logf("images built in %v", time.Since(started).Round(time.Second))
	for _, image := range []string{"dhcp6d", "dhcp4d", "tools"} {
		var size int
		_, err := fmt.Sscan(must(t)(Docker(t.Context(), "image", "inspect", "-f", "{{.Size}}", standInPrefix+image)), &size)
		if err != nil || size > 35e6 {
			t.Errorf("the image %s has %d octets, %v; want at most 35 MB", image, size, err)
		}
		t.Logf("%s: %.1f MB", image, float64(size)/1e6)
	}
	must(t)(p.Compose(t.Context(), "up", "-d", "--no-build", "dhcp6d", "dhcp4d-a", "dhcp4d-b", "prometheus"))
	return &lab{Project: p}
}

// standIns makes stand-ins for the images that the engine cannot pull.
func standIns(t *testing.T, p *Project) {
	t.Helper()
	ctx := t.Context()
	name, compiler := "golang:1.26", standInPrefix+"go"
	p.Env = append(p.Env, goImage+"="+compiler)
	if available(ctx, name) {
		if err := labelled(ctx, name, compiler); err != nil {
			t.Fatal(err)
		}
	} else {
		t.Logf("no registry: %s stands in for %s", compiler, name)
		if err := goStandIn(ctx, p.Root, compiler); err != nil {
			t.Fatal(err)
		}
		p.Env = append(p.Env, "GOPROXY=file://"+moduleDir, "GOSUMDB=off")
	}
	if name := "prom/prometheus:v2.55.1"; !available(ctx, name) {
		t.Logf("no registry: Debian's Prometheus stands in for %s, Grafana is left out", name)
		if err := prometheusStandIn(ctx, standInPrefix+"prometheus"); err != nil {
			netnstest.Skip(t, err.Error())
		}
		p.Env = append(p.Env, prometheusImage+"="+standInPrefix+"prometheus")
	}
	if name := "postgres:17"; !available(ctx, name) {
		t.Logf("no registry: Debian's PostgreSQL stands in for %s", name)
		if err := postgresStandIn(ctx, standInPrefix+"postgres"); err != nil {
			netnstest.Skip(t, err.Error())
		}
		p.Env = append(p.Env, postgresImage+"="+standInPrefix+"postgres")
	}
	if name := "docker.cloudsmith.io/isc/docker/kea-dhcp6:2.6.1"; !available(ctx, name) {
		t.Logf("no registry: Debian's Kea stands in for %s", name)
		if err := keaStandIn(ctx, standInPrefix+"kea"); err != nil {
			netnstest.Skip(t, err.Error())
		}
		p.Env = append(p.Env, keaImage+"="+standInPrefix+"kea")
	}
}

// remove deletes everything that the run made.
func (p *Project) remove(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	var args []string
	for _, profile := range []string{"client", "relay", "load", "shared", "kea"} {
		args = append(args, "--profile", profile)
	}
	if _, err := p.Compose(ctx, append(args, "down", "-v", "--remove-orphans", "-t", "5")...); err != nil {
		t.Errorf("removing the lab: %v", err)
	}
	out, err := Docker(ctx, "images", "--format", "{{.Repository}}:{{.Tag}}", standInPrefix+"*")
	if err != nil {
		t.Errorf("listing the images: %v", err)
	}
	if names := strings.Fields(out); len(names) > 0 {
		if _, err := Docker(ctx, append([]string{"rmi"}, names...)...); err != nil {
			t.Errorf("removing the images: %v", err)
		}
	}
	// The build stages, and the image that they were made from.
	for _, label := range []string{stageLabel, "org.opencontainers.image.version=lab-test"} {
		if _, err := Docker(ctx, "image", "prune", "-f", "--filter", "label="+label); err != nil {
			t.Errorf("removing the stages: %v", err)
		}
	}
}

// tell logs the last lines of the daemons' logs.
func (l *lab) tell(t *testing.T) {
	out, err := l.Compose(context.Background(), "logs", "--tail", "15")
	t.Logf("the lab said (%v):\n%s", err, out)
}

func healthy(t *testing.T, l *lab) {
	for _, service := range []string{"dhcp6d", "dhcp4d-a", "dhcp4d-b"} {
		eventually(t, time.Minute, service+" is healthy", func(ctx context.Context) (bool, string) {
			status, err := l.Health(ctx, service)
			return status == "healthy", fmt.Sprint(status, err)
		})
	}
	for expr, want := range map[string]float64{
		`sum(up{job="dhcp6d"})`: 1, `sum(up{job="dhcp4d"})`: 2, `sum(dhcp6d_ready) + sum(dhcp4d_ready)`: 3, `sum(dhcp6d_ipc_backend_up)`: 2,
		`count(up{job=~"dhcp[46]d"})`: 3, // a daemon that was never started is no target
	} {
		eventually(t, time.Minute, expr, is(expr, want))
	}
}

func published(t *testing.T, _ *lab) {
	for port, series := range map[string]string{"19566": "dhcp6d_ready 1", "19567": "dhcp4d_ready 1", "19568": "dhcp4d_ready 1"} {
		eventually(t, 10*time.Second, "port "+port+" has "+series, func(ctx context.Context) (bool, string) {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+port+"/metrics", nil)
			if err != nil {
				return false, err.Error()
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				return false, err.Error()
			}
			defer response.Body.Close()
			text, err := io.ReadAll(response.Body)
			return err == nil && strings.Contains(string(text), "\n"+series), fmt.Sprint(response.Status, err)
		})
	}
}

func inPath(t *testing.T, l *lab) {
	for service, command := range map[string][]string{
		"dhcp6d": {"dhcp6d", "-health"}, "dhcp4d-a": {"dhcp4d", "leases", "export"},
	} {
		if out, err := l.Compose(t.Context(), append([]string{"exec", "-T", service}, command...)...); err != nil {
			t.Errorf("%v: %v\n%s", command, err, out)
		}
	}
}

func direct(t *testing.T, l *lab) {
	started := time.Now()
	must(t)(l.Compose(t.Context(), "--profile", "client", "up", "-d", "--no-build", "--no-deps", "client"))
	l.client = l.lease(t, "client", 30*time.Second-time.Since(started))
	t.Logf("%s from %s, %v after its start", l.client.Address, backends[l.client.Server], time.Since(started).Round(100*time.Millisecond))
}

func relayed(t *testing.T, l *lab) {
	must(t)(l.Compose(t.Context(), "--profile", "relay", "up", "-d", "--no-build", "--no-deps", "relay", "relayed-client"))
	lease := l.lease(t, "relayed-client", 30*time.Second)
	if link := netip.MustParsePrefix("100.65.0.0/16"); !link.Contains(netip.MustParseAddr(lease.Address)) {
		t.Errorf("the client behind the relay has %s, which is no address of its link %s", lease.Address, link)
	}
	eventually(t, 20*time.Second, "relayed queries are counted", func(ctx context.Context) (bool, string) {
		n, err := prometheus.Sum(ctx, `sum(dhcp6d_queries_forwarded_total{path="relayed"})`)
		return n >= 2, fmt.Sprint(n, err)
	})
}

// behindKea starts Kea, and a client with a prefix and an IPv4 lease. Then it kills Kea, and
// another client gets a lease.
func behindKea(t *testing.T, l *lab) {
	must(t)(l.Compose(t.Context(), "--profile", "kea", "up", "-d", "--no-build", "--no-deps", "kea", "prefix-client"))
	lease := l.lease(t, "prefix-client", time.Minute)
	if link := netip.MustParsePrefix("100.64.0.0/16"); !link.Contains(netip.MustParseAddr(lease.Address)) {
		t.Errorf("the client has %s, which is no address of its link %s", lease.Address, link)
	}
	var prefix netip.Prefix
	for s := bufio.NewScanner(strings.NewReader(must(t)(l.Logs(t.Context(), "prefix-client")))); s.Scan(); {
		var e struct {
			Event  string
			Prefix netip.Prefix
		}
		if json.Unmarshal(s.Bytes(), &e) == nil && e.Event == "delegated" {
			prefix = e.Prefix
		}
	}
	if pool := netip.MustParsePrefix("2001:db8:1000::/40"); !pool.Contains(prefix.Addr()) || prefix.Bits() != 56 {
		t.Errorf("the client has the prefix %v, want a /56 of Kea's %v", prefix, pool)
	}
	if said := must(t)(l.Logs(t.Context(), "kea")); !strings.Contains(said, prefix.Addr().String()) {
		t.Errorf("Kea does not say that it gave %v:\n%s", prefix, tail(said, 20))
	}
	for _, expr := range []string{`sum(dhcp6d_messages_passed_total)`, `sum(dhcp6d_messages_returned_total)`} {
		eventually(t, 30*time.Second, expr, func(ctx context.Context) (bool, string) {
			n, err := prometheus.Sum(ctx, expr)
			return n >= 1, fmt.Sprint(n, err)
		})
	}
	t.Logf("%v from Kea, %s from %s", prefix, lease.Address, backends[lease.Server])
	must(t)(Docker(t.Context(), "kill", must(t)(l.Container(t.Context(), "kea"))))
	if lease, err := l.once(t, "02:00:5e:10:00:30"); err != nil {
		t.Errorf("a new client while Kea is dead: %v, %+v", err, lease)
	}
}

// killed kills the client's dhcp4d just after the client has renewed. So the client's next renewal,
// at half of its lease time, gets no answer.
func killed(t *testing.T, l *lab) {
	const naks = `sum(dhcp4d_responses_sent_total{type="nak"})`
	before := l.events(t, "client")
	own, other := backends[l.client.Server], ""
	for _, name := range backends {
		if name != own {
			other = name
		}
	}
	id := must(t)(l.Container(t.Context(), own))
	eventually(t, leaseTime, "the client renews", func(context.Context) (bool, string) {
		now := l.events(t, "client")
		return len(now) > len(before), fmt.Sprint(now)
	})
	renewals := len(l.events(t, "client"))
	nakked, err := prometheus.Sum(t.Context(), naks)
	if err != nil {
		t.Fatal(err)
	}

	must(t)(Docker(t.Context(), "kill", id))
	dead := time.Now()
	t.Logf("%s is dead", own)
	for i := range 3 {
		lease, err := l.once(t, fmt.Sprintf("02:00:5e:10:00:%02x", i+1))
		if err != nil {
			t.Errorf("a new client while %s is dead: %v", own, err)
		} else if backends[lease.Server] != other {
			t.Errorf("a new client got %s from %s while %s is dead", lease.Address, lease.Server, own)
		}
	}
	eventually(t, 2*time.Minute, "Dhcp4o6BackendDown fires", firing("Dhcp4o6BackendDown", true))
	if d := leaseTime*5/8 - time.Since(dead); d > 0 {
		time.Sleep(d) // until the client's renewal has had no answer
	}
	if now := l.events(t, "client"); len(now) > renewals {
		t.Errorf("with its dhcp4d dead the client has a new event: %v", now[renewals:])
	}
	must(t)(Docker(t.Context(), "start", id))
	t.Logf("%s is back after %v", own, time.Since(dead).Round(time.Second))

	eventually(t, leaseTime, "the client renews again", func(context.Context) (bool, string) {
		now := l.events(t, "client")
		return len(now) > renewals, fmt.Sprint(now)
	})
	for _, e := range l.events(t, "client") {
		if e.Address != l.client.Address || e.Event == "lost" {
			t.Errorf("the client had %s, and then got %+v", l.client.Address, e)
		}
	}
	eventually(t, time.Minute, "Dhcp4o6BackendDown is gone", firing("Dhcp4o6BackendDown", false))
	// The counter of the killed dhcp4d has begun at zero again.
	if now, err := prometheus.Sum(t.Context(), naks); err != nil || now > nakked {
		t.Errorf("%v NAKs, %v before; %v", now, nakked, err)
	}
}

// cut removes dhcp6d from the core network: its interface disappears.
func cut(t *testing.T, l *lab) {
	id := must(t)(l.Container(t.Context(), "dhcp6d"))
	core := l.Name + "_core"
	must(t)(Docker(t.Context(), "network", "disconnect", core, id))
	time.Sleep(10 * time.Second)
	must(t)(Docker(t.Context(), "network", "connect", "--ip6", "2001:db8:c::547", "--alias", "dhcp6d", core, id))
	back := time.Now()
	lease, err := l.once(t, "02:00:5e:10:00:20")
	if err != nil {
		t.Fatalf("a client after the cut: %v", err)
	}
	t.Logf("a client has %s %v after the cut", lease.Address, time.Since(back).Round(100*time.Millisecond))
	eventually(t, time.Minute, "both backends are in", is(`sum(dhcp6d_ipc_backend_up)`, 2))
	eventually(t, leaseTime, "the core is served again: relayed clients renew", func(ctx context.Context) (bool, string) {
		n, err := prometheus.Sum(ctx, `sum(increase(dhcp6d_responses_relayed_total{path="relayed"}[30s]))`)
		return n > 0, fmt.Sprint(n, err)
	})
}

// quiet are the expressions that have no data in a lab without trouble.
var quiet = map[string]string{
	"panel overview/Alerts":                             "no alert fires in a lab that is well",
	"panel overview/Waiting in sockets A":               "sockets are read faster than they are scraped",
	"panel overview/Waiting in sockets B":               "sockets are read faster than they are scraped",
	"panel overview/Dropped by the kernel A":            "this load does not fill a socket",
	"panel overview/Dropped by the kernel B":            "this load does not fill a socket",
	"panel overview/In flight":                          "answers come faster than they are scraped",
	"panel overview/Answers missing, late or unknown A": "every query gets its answer",
	"panel overview/Answers missing, late or unknown B": "no answer is late",
	"panel overview/Answers missing, late or unknown C": "no answer comes twice",
	"alert Dhcp4o6IpcTimeouts":                          "every query gets its answer",
	"alert Dhcp4o6IpcSlow":                              "the disk of this machine is quick enough",
	"panel leases/Offered":                              "an offer becomes a lease within a millisecond",
	"panel leases/In quarantine":                        "no client of the lab declines",
	"panel leases/Failures":                             "the disk does not fail",
	"panel hooks/Panics and lost log lines A":           "no hook panics",
	"panel hooks/Panics and lost log lines B":           "no hook panics",
	"panel hooks/Panics and lost log lines C":           "the log loses no line",

	"panel hooks/Rules A": "the lab has no rules of an operator",
	"panel hooks/Rules B": "the lab has no rules of an operator",
	"panel hooks/Rules C": "the lab has no rules of an operator",
	"panel hooks/Rules D": "the lab has no rules of an operator",

	// The dhcp4d of this step have no database.
	"panel leases/Standbys, and dhcp4d A": "there is no database here; the story of the profile shared shows it",
	"panel leases/Standbys, and dhcp4d B": "there is no database here; the story of the profile shared shows it",
	"panel leases/Conflicts":              "there is no database here",
	"panel leases/Behind the others":      "there is no database here; the story of the profile shared shows it",
	"panel leases/Unknown outcomes":       "there is no database here; the story of the profile shared shows it",
	"panel hooks/Program outside A":       "the lab has no program outside",
	"panel hooks/Program outside B":       "the lab has no program outside",
	"panel hooks/Program outside C":       "the lab has no program outside",
	"panel hooks/Program outside D":       "the lab has no program outside",
	"alert DhcpOutsideAway":               "the lab has no program outside",
	"alert DhcpOutsideWrong":              "the lab has no program outside",
	"alert DhcpOutsideEventsLost":         "the lab has no program outside",

	"panel overview/Silent by rule A": "dhcp6d answers whatever it understands",

	"alert Dhcp6ServerSilent":         "the lab has no other DHCPv6 server",
	"alert DhcpStoreForgot":           "each dhcp4d of the lab has a store of its own",
	"alert DhcpStoreBehind":           "each dhcp4d of the lab has a store of its own",
	"alert Dhcp4o6NoTarget":           "both jobs have targets",
	"alert Dhcp4o6TargetGone":         "no target goes",
	"alert Dhcp4o6TrafficGone":        "traffic goes on",
	"alert DhcpSilence":               "every client has a record and a pool",
	"alert Dhcp4o6Down":               "everything is up",
	"alert Dhcp4o6InterfaceDown":      "all interfaces are served",
	"alert Dhcp4o6BackendDown":        "has a step of its own",
	"alert Dhcp4o6AnswerGap":          "answers come",
	"alert DhcpDiscoverWithoutAck":    "every client gets its ACK",
	"alert DhcpNakStorm":              "no NAK",
	"alert DhcpDrops":                 "too few",
	"alert DhcpDropsOwnFault":         "no fault",
	"alert DhcpKernelDrops":           "this load does not fill a socket",
	"alert DhcpHookSlow":              "hooks are fast",
	"alert DhcpPanic":                 "no hook panics",
	"alert DhcpPoolNearlyFull":        "pools are large",
	"alert DhcpPoolFull":              "pools are large",
	"alert DhcpPoolFillsWithinADay":   "pools are large",
	"alert DhcpDeclines":              "no client of the lab declines",
	"alert DhcpStoreFailing":          "the disk does not fail",
	"alert DhcpStoreHangs":            "no commit waits for so long",
	"alert DhcpStoreNoStandby":        "there is no database here",
	"alert DhcpStoreConnectionBreaks": "there is no database here",
	"alert DhcpStoreSlow":             "the disk is quick enough, or it is worth knowing",
	"alert DhcpLeaseLogLost":          "the log loses no line",
	"alert DhcpConfigReloadFailed":    "nothing is reloaded",
	"alert DhcpVersionSkew":           "one version",
}

func loaded(t *testing.T, l *lab) {
	all, err := monitoring.Expressions(l.Root)
	if err != nil {
		t.Fatal(err)
	}
	silent := make(map[string]monitoring.Expression)
	for _, e := range all {
		silent[e.Where] = e
	}
	for name := range quiet {
		if _, exists := silent[name]; !exists {
			t.Errorf("the map quiet has %s, which does not exist", name)
		}
		delete(silent, name)
	}

	// Denied datagrams, clients beyond the limit of a port, released leases.
	for _, args := range [][]string{
		{"-source", "2001:db8:a::10ad", "-relays", "1", "-link", "2001:db8:bad::1", "-n", "20", "-in-flight", "20", "-seed", "2"},
		{"-source", "2001:db8:a::10ad", "-relays", "1", "-link", "2001:db8:b::1", "-ports", "1", "-n", "40", "-in-flight", "40", "-seed", "3"},
		{"-n", "50", "-in-flight", "8", "-release", "1", "-seed", "4"},
	} {
		argv := append([]string{"--profile", "load", "run", "--rm", "--no-deps", "load", "dhcp4o6-perf", "-i", "eth0"}, args...)
		if out, err := l.Compose(t.Context(), argv...); err != nil && args[0] != "-source" {
			t.Errorf("%v\n%s", err, out)
		}
	}
	must(t)(l.Compose(t.Context(), "--profile", "load", "up", "-d", "--no-build", "--no-deps", "load"))
	deadline := time.Now().Add(100 * time.Second)
	for len(silent) > 0 && time.Now().Before(deadline) {
		time.Sleep(2 * time.Second)
		for where, e := range silent {
			samples, err := prometheus.Query(t.Context(), e.Expr)
			if err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(samples, func(s Sample) bool { return s.Value != 0 && !math.IsNaN(s.Value) }) {
				delete(silent, where)
			}
		}
	}
	for _, where := range slices.Sorted(maps.Keys(silent)) {
		t.Errorf("%s has no data: %s", where, silent[where].Expr)
	}
	id := must(t)(l.Container(t.Context(), "load"))
	if code := strings.TrimSpace(must(t)(Docker(t.Context(), "wait", id))); code != "0" {
		t.Errorf("the load generator ended with status %s", code)
	}
	out, err := Docker(t.Context(), "logs", id)
	t.Logf("the load generator said (%v):\n%s", err, tail(out, 20))
}

// line is a line of the client's log.
type line struct{ Event, Address, Server string }

// events returns what a client has reported so far.
func (l *lab) events(t *testing.T, service string) (events []line) {
	t.Helper()
	out, err := l.Logs(t.Context(), service)
	if err != nil {
		t.Fatal(err)
	}
	return parse(out)
}

func parse(log string) (events []line) {
	for s := bufio.NewScanner(strings.NewReader(log)); s.Scan(); {
		var e line
		if json.Unmarshal(s.Bytes(), &e) == nil && e.Address != "" { // the other lines are about option 88
			events = append(events, e)
		}
	}
	return events
}

// lease waits for the first lease of a service's client.
func (l *lab) lease(t *testing.T, service string, limit time.Duration) (first line) {
	t.Helper()
	eventually(t, limit, service+" has a lease", func(context.Context) (bool, string) {
		events := l.events(t, service)
		if len(events) > 0 {
			first = events[0]
		}
		return len(events) > 0, ""
	})
	return first
}

// once runs a client that ends with its first lease.
func (l *lab) once(t *testing.T, mac string) (line, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	out, err := l.Compose(ctx, "--profile", "client", "run", "--rm", "--no-deps", "client", "dhcp4o6-client", "-i", "eth0", "-once", "-json", "-mac", mac)
	events := parse(out)
	if err != nil || len(events) == 0 {
		return line{}, fmt.Errorf("no lease: %q, %w", out, err)
	}
	return events[0], nil
}

// is reports whether an expression has a value.
func is(expr string, want float64) func(context.Context) (bool, string) {
	return func(ctx context.Context) (bool, string) {
		got, err := prometheus.Sum(ctx, expr)
		return got == want, fmt.Sprintf("%v, want %v, %v", got, want, err)
	}
}

// firing reports whether an alert fires, or does not, as wanted.
func firing(alert string, should bool) func(context.Context) (bool, string) {
	return func(ctx context.Context) (bool, string) {
		names, err := prometheus.Firing(ctx)
		return err == nil && slices.Contains(names, alert) == should, fmt.Sprint(names, err)
	}
}

// eventually repeats a check every half second until it succeeds.
func eventually(t *testing.T, limit time.Duration, what string, ask func(context.Context) (ok bool, got string)) {
	t.Helper()
	var got string
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		var ok bool
		if ok, got = ask(t.Context()); ok {
			return
		}
	}
	t.Fatalf("%s: not within %v, last: %s", what, limit, got)
}

// must returns the output, and fails the test if there is an error.
func must(t *testing.T) func(string, error) string {
	return func(out string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
}
