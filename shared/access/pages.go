package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Pages are what people see. They come in by a form, where they show the token; a cookie that no
// script can read and that no other site can use lets them in from then on. The cookie opens pages
// only: what changes something wants the token itself, so that no page can be made to change
// anything.
type Pages interface {
	http.Handler
	// Login answers with the form, and with what was wrong, with status 401.
	Login(w http.ResponseWriter, r *http.Request, why string)
}

// Style is the style sheet, which is for everybody.
const Style = "/style.css"

// Page is a link from the pages of one daemon to those of another.
type Page struct{ Name, URL string }

// UnmarshalText takes name=URL.
func (p *Page) UnmarshalText(text []byte) error {
	name, at, ok := strings.Cut(string(text), "=")
	u, err := url.Parse(at)
	if !ok || name == "" || err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("%q must be name=URL, such as dhcp6d=http://[2001:db8::6]:9548/", text)
	}
	*p = Page{name, at}
	return nil
}

// String is the link as it is written in the environment.
func (p Page) String() string { return p.Name + "=" + p.URL }

// MarshalText is String.
func (p Page) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

const (
	sessionTime = 12 * time.Hour
	maxForm     = 4 << 10 // octets of the form
)

// page serves what is not the API.
func (g *Guard) page(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy",
		"default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; "+
			"base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/login":
		g.login(w, r)
	case r.Method == http.MethodPost && r.URL.Path == "/logout":
		http.SetCookie(w, g.cookie(r, "", -1))
		http.Redirect(w, r, "/", http.StatusSeeOther)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
	case r.URL.Path == Style || g.knows(r) || g.remembers(r):
		g.pages.ServeHTTP(w, r)
	default:
		// Who has shown nothing has tried nothing.
		if _, err := r.Cookie(cookieName(r, g.name)); err == nil || r.Header.Get("Authorization") != "" {
			g.refused.note(r)
		}
		g.pages.Login(w, r, "")
	}
}

func (g *Guard) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	sum := sha256.Sum256([]byte(strings.TrimSpace(r.PostFormValue("token"))))
	if subtle.ConstantTimeCompare(sum[:], g.token[:]) != 1 {
		g.refused.note(r)
		g.pages.Login(w, r, "This is not the token.")
		return
	}
	end := strconv.FormatInt(time.Now().Add(sessionTime).Unix(), 10)
	http.SetCookie(w, g.cookie(r, end+"."+g.seal(end), int(sessionTime/time.Second)))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// seal authenticates the end of a session. It needs no memory, and ends with the token.
func (g *Guard) seal(end string) string {
	m := hmac.New(sha256.New, g.token[:])
	m.Write([]byte("session of a page until " + end))
	return hex.EncodeToString(m.Sum(nil))
}

// cookie is the cookie of the pages. Ports of a host share their cookies, so its name has the port.
func (g *Guard) cookie(r *http.Request, value string, age int) *http.Cookie {
	return &http.Cookie{
		Name: cookieName(r, g.name), Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.Header.Get("X-Forwarded-Proto") == "https",
	}
}

func cookieName(r *http.Request, daemon string) string {
	if _, port, err := net.SplitHostPort(r.Host); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err == nil {
			return daemon + "_" + port
		}
	}
	return daemon
}

// remembers reports whether a request has the cookie of a session that lasts.
func (g *Guard) remembers(r *http.Request) bool {
	c, err := r.Cookie(cookieName(r, g.name))
	if err != nil {
		return false
	}
	end, seal, _ := strings.Cut(c.Value, ".")
	seconds, err := strconv.ParseInt(end, 10, 64)
	return err == nil && subtle.ConstantTimeCompare([]byte(seal), []byte(g.seal(end))) == 1 &&
		time.Now().Before(time.Unix(seconds, 0))
}
