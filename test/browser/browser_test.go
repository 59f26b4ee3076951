// Package browser tests the pages of both daemons in Chromium, as people use them: with a mouse and
// a keyboard, on a wide screen and a narrow one, in light and dark. The daemons are the binaries of
// make build. The test needs no network but the loopback interface.
package browser

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// leases is the number of leases that dhcp4d has. With -leases 1000000 the test takes about a
// minute more.
var (
	count    = flag.Int("leases", 20_000, "how many leases dhcp4d has")
	pictures = flag.String("pictures", "", "write pictures of the pages to this `directory`")
)

const (
	token   = "0123456789abcdef"
	patient = time.Minute // for whatever the browser is to show
)

// hostile is an Interface-Id that contains HTML.
const hostile = `"><script>document.title='owned'</script><img src=x onerror="document.title='owned'">`

// free returns a port of the loopback interface that nobody listens at.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// run runs a daemon until the test ends, and waits until its API answers.
func run(t *testing.T, name, api string, env ...string) {
	t.Helper()
	path, err := servers.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	c := exec.Command(path)
	c.Env, c.Stderr, c.Stdout = env, &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		if err := <-ended; err != nil || t.Failed() {
			t.Logf("%s ended with %v and said\n%s", name, err, &said)
		}
	})
	for until := time.Now().Add(patient); ; time.Sleep(50 * time.Millisecond) {
		if r, err := http.Get("http://" + api + "/style.css"); err == nil {
			_ = r.Body.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended with %v and said\n%s", name, err, &said)
		default:
		}
		if time.Now().After(until) {
			t.Fatalf("%s has no API", name)
		}
	}
}

// write writes an export of leases, the last of which is at a hostile place.
func write(t *testing.T, name string, n int) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	end := time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339)
	for i := 1; i < n; i++ {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		id := fmt.Sprintf("port-%d", i)
		if i == n-1 {
			id = hostile
		}
		fmt.Fprintf(w, `{"address":%q,"subnet":1,"state":"bound","client_id":"ff:%02x:%02x:%02x","hw_type":1,"hw_address":"02:00:5e:%02x:%02x:%02x","ipv6_source":"fe80::5eff:fe00:1","attachment_point":{"kind":"interface-id","address":"2001:db8:7::1","id":%q,"digest":false,"within":""},"start":"2026-11-28T08:00:00Z","changed":"2026-11-28T08:00:00Z","expires":%q}`+"\n",
			a, byte(i>>16), byte(i>>8), byte(i), byte(i>>16), byte(i>>8), byte(i), id, end)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// history is the lease log of an address that four clients had.
func history(t *testing.T, name string, a netip.Addr) {
	t.Helper()
	var b strings.Builder
	line := func(at, event string, client int) {
		fmt.Fprintf(&b, `{"time":"2026-11-%sZ","event":%q,"address":%q,"subnet":1,"start":"2026-11-%sZ","expires":"2026-11-29T00:00:00Z","client_id":"ff:0%d","hw_type":1,"hw_address":"02:00:5e:00:00:0%d","ipv6_source":"2001:db8::%d","interface":"eth0","relays":[{"link_address":"2001:db8:7::1","peer_address":"fe80::1","interface_id":"%x","remote_id":"00000de96c37"}]}`+"\n",
			at, event, a, at, client, client, client, map[bool]string{true: hostile, false: "port-9"}[client == 2])
	}
	for i := 1; i <= 4; i++ {
		line(fmt.Sprintf("%dT08:00:00", 20+i), "allocated", i)
		line(fmt.Sprintf("%dT20:00:00", 20+i), "released", i)
	}
	if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

const subnets = `
- {id: 1, name: north, subnet: 10.0.0.0/8, pools: [10.0.0.1-10.15.255.255], match: [{link-address: "2001:db8:7::/64"}]}
- {id: 2, name: south, subnet: 192.0.2.0/24, pools: [192.0.2.10-192.0.2.100, 192.0.2.110-192.0.2.200], match: [{link-address: "2001:db8:8::/64"}]}
- {id: 3, subnet: 198.51.100.0/24, state: drain, pools: [198.51.100.10-198.51.100.20], match: [{link-address: "2001:db8:9::/64"}]}
`

// browse starts Chromium. A test that takes too long fails.
func browse(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: install it with .ci/install chromium chromium", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("no-proxy-server", true), chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE ::1"), chromedp.WSURLReadTimeout(2*time.Minute))
	allocated, stop := chromedp.NewExecAllocator(t.Context(), options...)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Log(err)
		}
		cancel()
		stop()
	})
	// The browser lives as long as the context of the first call.
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 900)); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// do runs actions in the browser.
func do(ctx context.Context, t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	one, cancel := context.WithTimeout(ctx, 2*patient)
	defer cancel()
	if err := chromedp.Do(one, steps...); err != nil {
		t.Fatalf("%v, at\n%s", err, text(ctx))
	}
}

// is returns the value of a JavaScript expression.
func is[T any](ctx context.Context, t *testing.T, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// text returns the text of the page, empty if there is no page yet.
func text(ctx context.Context) string {
	v, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`document.readyState !== "loading" && document.body ? document.body.innerText : ""`))
	return v
}

// send sends a command to the browser.
func send[P, R any](ctx context.Context, t *testing.T, command cdp.Command[P, R], params P) {
	t.Helper()
	if _, err := chromedp.Call(ctx, command, params); err != nil {
		t.Fatal(err)
	}
}

// shows waits until the page shows all texts.
func shows(ctx context.Context, t *testing.T, texts ...string) {
	t.Helper()
	for until := time.Now().Add(patient); ; time.Sleep(20 * time.Millisecond) {
		now := text(ctx)
		missing := slices.DeleteFunc(slices.Clone(texts), func(one string) bool { return strings.Contains(now, one) })
		if len(missing) == 0 {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("the page does not show %q:\n%s", missing, now)
		}
	}
	safe(ctx, t)
}

// safe reports an error if the browser took octets of clients for HTML.
func safe(ctx context.Context, t *testing.T) {
	t.Helper()
	n, title := is[int](ctx, t, `document.querySelectorAll("script, img, iframe").length`), is[string](ctx, t, "document.title")
	if n != 0 || strings.Contains(title, "owned") {
		t.Errorf("%d elements of clients, the title is %q", n, title)
	}
}

// picture writes a picture of the page.
func picture(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	if *pictures != "" {
		if err := os.WriteFile(filepath.Join(*pictures, name+".png"), png, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if len(png) < 1000 {
		t.Errorf("a picture of %d octets", len(png))
	}
}

// narrow looks at pages on a narrow screen in the dark, where nothing may be wider than the screen.
// It takes a picture of the last one.
func narrow(ctx context.Context, t *testing.T, base, name string, paths ...string) {
	t.Helper()
	do(ctx, t, chromedp.EmulateViewport(360, 780, chromedp.EmulateMobile))
	send(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	for _, path := range paths {
		do(ctx, t, chromedp.Navigate(base+path), chromedp.WaitReady(chromedp.CSS("main")))
		width, background := is[int](ctx, t, `document.documentElement.scrollWidth`), is[string](ctx, t, `getComputedStyle(document.body).backgroundColor`)
		if width > 360 || background != "rgb(21, 24, 28)" {
			t.Errorf("%s%s is %d wide on a screen of 360, on %s", base, path, width, background)
		}
		safe(ctx, t)
	}
	picture(ctx, t, name)
	send(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{})
	do(ctx, t, chromedp.EmulateViewport(1280, 900))
}

// pressed presses a key several times, and returns the element that then has the focus.
func pressed(ctx context.Context, t *testing.T, key string, times int) string {
	t.Helper()
	for range times {
		do(ctx, t, chromedp.KeyEvent(key))
	}
	return is[string](ctx, t, `document.activeElement.name || document.activeElement.innerText`)
}

func TestThePageOfDHCP4D(t *testing.T) {
	dir := t.TempDir()
	log, file := filepath.Join(dir, "leases.log"), filepath.Join(dir, "leases.ndjson")
	history(t, log, netip.MustParseAddr("10.0.0.9"))
	write(t, file, *count)
	at, at6 := free(t), free(t)
	env := []string{
		"DHCP4D_STORE=journal:" + filepath.Join(dir, "store"), "DHCP4D_SUBNETS=" + subnets, "DHCP4D_HOOKS=leaselog", "DHCP4D_LEASELOG_PATH=" + log,
		"DHCP4D_API_LISTEN=" + at, "DHCP4D_API_TOKEN=" + token, "DHCP4D_METRICS_LISTEN=[::1]:0", "DHCP4D_IPC_LISTEN=[::1]:0", "DHCP4D_IPC_PEERS=[::1]:9", "DHCP4D_IPC_INSECURE=true",
		"DHCP4D_API_PAGES=dhcp6d=http://" + at6 + "/",
	}
	path, err := servers.Find("dhcp4d")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(path, "leases", "import", file)
	c.Env = env
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("importing leases: %v\n%s", err, out)
	}
	run(t, "dhcp4d", at, env...)
	run(t, "dhcp6d", at6, "DHCP6D_INTERFACES=lo", "DHCP6D_SERVER_PORT=10547", "DHCP6D_IPC_LISTEN=[::1]:0", "DHCP6D_IPC_BACKENDS=west@[::1]:9", "DHCP6D_IPC_INSECURE=true",
		"DHCP6D_STATE_DIR="+dir, "DHCP6D_API_LISTEN="+at6, "DHCP6D_API_TOKEN="+token, "DHCP6D_METRICS_LISTEN=[::1]:0", "DHCP6D_DNS_SERVERS=2001:db8::53")

	ctx := browse(t)
	base := "http://" + at
	click := func(what string) chromedp.Action[chromedp.Void] {
		return chromedp.Click(chromedp.CSS(what), chromedp.NodeVisible)
	}

	// Without the token nobody comes in, and a wrong token gets a message.
	do(ctx, t, chromedp.Navigate(base+"/leases?q=10.0.0.1"))
	shows(ctx, t, "Token of the API")
	do(ctx, t, chromedp.SendKeys(chromedp.CSS("#token"), "wrong"+kb.Enter))
	shows(ctx, t, "This is not the token.")

	// By the keyboard alone: the form has the focus.
	do(ctx, t, chromedp.KeyEvent(token), chromedp.KeyEvent(kb.Enter))
	shows(ctx, t, "3 subnets, the fullest first", "north", "192.0.2.110–192.0.2.200", "drain", "No client was refused")
	picture(ctx, t, "page-subnets")
	if got := pressed(ctx, t, kb.Tab, 1); got != "To the content" {
		t.Errorf("the first key goes to %q", got)
	}
	if got := pressed(ctx, t, kb.Enter, 1); !strings.Contains(got, "Subnets") {
		t.Errorf("the content is %q", got)
	}
	if got := pressed(ctx, t, kb.Tab, 1); got != "q" {
		t.Errorf("behind it comes %q, want the search", got)
	}
	do(ctx, t, chromedp.KeyEvent("0200.5e00.0009"), chromedp.KeyEvent(kb.Enter))
	shows(ctx, t, "Looked for the hardware address 02:00:5e:00:00:09", "10.0.0.9")

	// The lease, and who had it.
	do(ctx, t, click(`#leases a[href="/leases/10.0.0.9"]`))
	shows(ctx, t, "interface-id port-9 at 2001:db8:7::1", "2026-11-21 08:00:00 UTC", "2026-11-24 20:00:00 UTC", "released", "ff:04", "document.title='owned'")
	picture(ctx, t, "page-lease")

	// Going back shows the search again. Every other notation finds the lease, too.
	is[bool](ctx, t, `history.back(), true`)
	shows(ctx, t, "Looked for the hardware address 02:00:5e:00:00:09")
	for q, looked := range map[string]string{
		"02:00:5e:00:00:09": "hardware address", "02-00-5E-00-00-09": "hardware address", "2-0-5e-0-0-9": "hardware address", "02005e000009": "hardware address",
		"port-9": "Interface-Id", "0x706f72742d39": "Interface-Id",
	} {
		do(ctx, t, chromedp.Navigate(base+"/leases"), chromedp.SendKeys(chromedp.CSS("input[name=q]"), q+kb.Enter))
		shows(ctx, t, "Looked for", looked, "10.0.0.9")
	}

	// The last of all leases, by the other terms of a search. Its Interface-Id is hostile.
	n := *count - 1
	last := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).String()
	for _, q := range []string{hostile, fmt.Sprintf("ff:%02x:%02x:%02x", byte(n>>16), byte(n>>8), byte(n)), last} {
		do(ctx, t, chromedp.Navigate(base+"/leases"), chromedp.SendKeys(chromedp.CSS("input[name=q]"), q+kb.Enter))
		shows(ctx, t, last)
	}
	do(ctx, t, chromedp.Navigate(base+"/leases?subnet=1"))
	shows(ctx, t, "Search on")
	do(ctx, t, click(`a[rel=next]`))
	shows(ctx, t, "Looked for leases of subnet 1")

	// A narrow screen in the dark: nothing is wider than the screen.
	narrow(ctx, t, base, "page-narrow-dark", "/leases/10.0.0.9", "/leases?subnet=1", "/drops", "/trace", "/")

	// The pages work without scripts, too.
	send(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	do(ctx, t, chromedp.Navigate(base+"/leases?q=10.0.0.9"), chromedp.WaitVisible(chromedp.CSS("#leases")))
	send(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{})

	// A live trace never ends, so the page is never loaded in full.
	send(ctx, t, page.Navigate, page.NavigateParams{URL: base + "/trace?kind=interface_id&value=port-9"})
	for until := time.Now().Add(patient); !is[bool](ctx, t, `document.body !== null && document.body.innerText.includes("Following port-9")`); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the live trace does not begin")
		}
	}

	// A hundred live traces are open, which nobody reads, and a hundred pages are asked for.
	cookie := cookieOf(t, base)
	for i := range 100 {
		r, err := http.NewRequest(http.MethodGet, fmt.Sprintf("%s/trace?kind=interface_id&value=port-%d", base, i), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.AddCookie(cookie)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("live trace %d: %s", i, answer.Status)
		}
	}
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			r, err := http.NewRequest(http.MethodGet, base+[]string{"/", "/leases?subnet=1", "/drops", "/leases/10.0.0.9"}[i%4], nil)
			if err != nil {
				t.Error(err)
				return
			}
			r.AddCookie(cookie)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			_ = answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				t.Errorf("%s: %s", r.URL, answer.Status)
			}
		})
	}
	all.Wait()

	// The pages of the other daemon have a session of their own.
	do(ctx, t, chromedp.Navigate(base+"/"), click(`nav a[href="http://`+at6+`/"]`))
	shows(ctx, t, "Token of the API", "dhcp6d")
	do(ctx, t, chromedp.SendKeys(chromedp.CSS("#token"), token+kb.Enter))
	shows(ctx, t, "Backends", "west", "[::1]:9", "lo", "served")
	picture(ctx, t, "page-dhcp6d")
	do(ctx, t, click(`nav a[href="/drops"]`))
	shows(ctx, t, "Drops", "Silences")
	narrow(ctx, t, "http://"+at6, "page-dhcp6d-narrow-dark", "/drops", "/trace", "/")

	// After signing out the page needs the token again.
	do(ctx, t, chromedp.Navigate(base+"/"), click("header button"))
	shows(ctx, t, "Token of the API")
}

// cookieOf signs in by the form, and returns the cookie.
func cookieOf(t *testing.T, base string) *http.Cookie {
	t.Helper()
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := c.Post(base+"/login", "application/x-www-form-urlencoded", strings.NewReader("token="+token))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if len(r.Cookies()) != 1 {
		t.Fatalf("%s %v", r.Status, r.Header)
	}
	return r.Cookies()[0]
}
