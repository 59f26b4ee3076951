package access

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// shown is pages that say what they are asked for.
type shown struct{}

func (shown) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = w.Write([]byte("page " + r.URL.Path))
}

func (shown) Login(w http.ResponseWriter, _ *http.Request, why string) {
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = w.Write([]byte("login " + why))
}

// visitor asks a guard as a browser does.
type visitor struct {
	guard   *Guard
	cookies []*http.Cookie
}

func (v *visitor) ask(method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://[2001:db8::4]:9568"+path, strings.NewReader(body))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	for _, c := range v.cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	v.guard.ServeHTTP(w, r)
	return w
}

func TestPagesOpenByTheTokenOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := NewRefused(prometheus.NewRegistry(), "dhcp4d", slog.New(slog.DiscardHandler))
		inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("api " + r.Method)) })
		v := &visitor{guard: NewGuard(token, refused, inner).With("dhcp4d", shown{})}
		count := 0
		is := func(w *httptest.ResponseRecorder, code int, body string, counted int) {
			t.Helper()
			if count += counted; w.Code != code || w.Body.String() != body || testutil.ToFloat64(refused) != float64(count) {
				t.Errorf("%d %q, %v refused; want %d %q, %d", w.Code, w.Body, testutil.ToFloat64(refused), code, body, count)
			}
		}
		form := func(token string) string { return url.Values{"token": {token}}.Encode() }
		is(v.ask("GET", "/", ""), 401, "login ", 0)
		is(v.ask("GET", "/style.css", ""), 200, "page /style.css", 0)
		is(v.ask("GET", "/", "", "Authorization", "Bearer wrong"), 401, "login ", 1)
		is(v.ask("GET", "/", "", "Authorization", "Bearer "+token), 200, "page /", 0)
		is(v.ask("POST", "/login", form("wrong")), 401, "login This is not the token.", 1)
		is(v.ask("POST", "/login", form("")), 401, "login This is not the token.", 1)
		is(v.ask("POST", "/login", "token="+strings.Repeat("x", 1<<20)), 401, "login This is not the token.", 1)
		is(v.ask("GET", "/login?token="+token, ""), 401, "login ", 0)
		in := v.ask("POST", "/login", form(token+" \n"))
		v.cookies = in.Result().Cookies()
		if len(v.cookies) != 1 || in.Code != http.StatusSeeOther || in.Header().Get("Location") != "/" {
			t.Fatalf("%d %v", in.Code, in.Header())
		}
		if c := v.cookies[0]; !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Name != "dhcp4d_9568" || c.Path != "/" || strings.Contains(c.Value, token) {
			t.Errorf("%+v", c)
		}
		page := v.ask("GET", "/leases?q=x", "")
		is(page, 200, "page /leases", 0)
		if p := page.Header().Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || strings.Contains(p, "script") || page.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%v", page.Header())
		}
		is(v.ask("POST", "/leases", ""), 405, "", 0)
		is(v.ask("DELETE", "/v1/leases/192.0.2.10", ""), 401, "", 1) // the cookie opens no API
		is(v.ask("GET", "/v1/leases", ""), 401, "", 1)
		is(v.ask("GET", "/v1/leases", "", "Authorization", "Bearer "+token), 200, "api GET", 0)
		out := v.ask("POST", "/logout", "")
		if c := out.Result().Cookies(); len(c) != 1 || c[0].MaxAge >= 0 {
			t.Errorf("%v", c)
		}
		made := *v.cookies[0]
		end, seal, _ := strings.Cut(made.Value, ".")
		for _, forged := range []string{"", "9" + end + "." + seal, end + "." + strings.Repeat("0", len(seal)), end, "x." + seal} {
			v.cookies[0].Value = forged
			is(v.ask("GET", "/", ""), 401, "login ", 1)
		}
		other := &visitor{guard: NewGuard(token+"2", refused, inner).With("dhcp4d", shown{}), cookies: []*http.Cookie{&made}}
		is(other.ask("GET", "/", ""), 401, "login ", 1) // another token ends all sessions
		v.cookies[0].Value = made.Value
		time.Sleep(sessionTime - time.Minute)
		is(v.ask("GET", "/", ""), 200, "page /", 0)
		time.Sleep(2 * time.Minute)
		is(v.ask("GET", "/", ""), 401, "login ", 1)
		pass(2 * sayEvery) // ends the timers
	})
}

func TestPageLinks(t *testing.T) {
	var p Page
	if err := p.UnmarshalText([]byte("west=https://six.example:9548/x?a=b")); err != nil || p.Name != "west" || p.String() != "west=https://six.example:9548/x?a=b" {
		t.Errorf("%+v, %v", p, err)
	}
	for _, bad := range []string{"", "west", "=http://a/", "west=javascript:alert(1)", "west=/x", "west=http:///x"} {
		if err := p.UnmarshalText([]byte(bad)); err == nil || !strings.Contains(err.Error(), "name=URL") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
