// Package page is the frame of the read-only pages of both daemons, on the listeners of their APIs.
//
// Pages are plain HTML, made from embedded templates, and work without scripts. html/template
// escapes every value; what clients send is never taken for markup. A page is made within bounds:
// so many at once, the others wait for their turn, and what it is made from is bounded by those who
// make it. Nothing is held while a client reads its page.
//
// Who may come in is decided by package access.
package page

import (
	"bytes"
	"context"
	"embed"
	"html/template"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/access"
)

//go:embed frame.html style.css
var files embed.FS

const (
	atOnce  = 4                // pages that are made at one time
	maxWait = 20 * time.Second // for the turn of a request; a page must be written within web.WriteTime
)

// Site is the pages of a daemon.
type Site struct {
	Daemon, Version string
	Prefix          string // of its variables
	Links           []access.Page
	// Neighbour is the other daemon and the port of its page, which is taken to be on the same host
	// if Links is empty.
	Neighbour, NeighbourPort string

	nav       []entry
	templates *template.Template
	mux       *http.ServeMux
	slots     chan struct{}
}

type entry struct{ name, url string }

// View is what a template gets.
type View struct {
	Site   *Site
	Title  string
	Now    string
	Inside bool // whoever reads it has shown the token
	Nav    []Link
	Data   any
}

// Link is a link of the navigation.
type Link struct {
	Name, URL string
	Current   bool
}

// Answer is a page.
type Answer struct {
	Status   int // 0: 200
	Template string
	Title    string
	Data     any
}

// Problem is a page that says what is wrong.
func Problem(status int, why string) Answer {
	return Answer{Status: status, Template: "problem", Title: http.StatusText(status), Data: why}
}

// Start makes the site ready, with the templates of its daemon.
func (s *Site) Start(own fs.FS, functions template.FuncMap) *Site {
	s.templates = template.Must(template.New("").Funcs(functions).ParseFS(files, "frame.html"))
	template.Must(s.templates.ParseFS(own, "*.html"))
	s.mux, s.slots = http.NewServeMux(), make(chan struct{}, atOnce)
	return s
}

// Handle serves a path. A name puts it into the navigation.
func (s *Site) Handle(path, name string, answer func(r *http.Request) Answer) {
	if name != "" {
		s.nav = append(s.nav, entry{name, path})
	}
	pattern := path
	if path == "/" {
		pattern = "/{$}"
	}
	s.mux.HandleFunc("GET "+pattern, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), maxWait)
		defer cancel()
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			w.Header().Set("Retry-After", "1")
			busy := Problem(http.StatusServiceUnavailable, "Too many pages are asked for at once. Try again.")
			s.write(w, r, busy, true)
			return
		}
		page := s.render(r, func() Answer { defer func() { <-s.slots }(); return answer(r) }(), true)
		page.send(w)
	})
}

// rendered is a page as octets.
type rendered struct {
	status int
	body   bytes.Buffer
}

func (p *rendered) send(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(p.status)
	_, _ = w.Write(p.body.Bytes()) // whoever asked and went away does not matter
}

func (s *Site) render(r *http.Request, a Answer, inside bool) *rendered {
	p := &rendered{status: a.Status}
	if p.status == 0 {
		p.status = http.StatusOK
	}
	if err := s.templates.ExecuteTemplate(&p.body, a.Template, s.view(r, a, inside)); err != nil {
		panic("page: " + err.Error()) // the templates and their data are ours
	}
	return p
}

func (s *Site) view(r *http.Request, a Answer, inside bool) View {
	v := View{
		Site: s, Title: a.Title, Now: time.Now().UTC().Format("2006-01-02 15:04:05 UTC"), Inside: inside, Data: a.Data,
	}
	for _, e := range s.nav {
		v.Nav = append(v.Nav, Link{e.name, e.url, r.URL.Path == e.url})
	}
	for _, l := range s.Links {
		v.Nav = append(v.Nav, Link{Name: l.Name, URL: l.URL})
	}
	if s.Links == nil {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = strings.Trim(r.Host, "[]")
		}
		v.Nav = append(v.Nav, Link{Name: s.Neighbour, URL: "http://" + net.JoinHostPort(host, s.NeighbourPort) + "/"})
	}
	return v
}

func (s *Site) write(w http.ResponseWriter, r *http.Request, a Answer, inside bool) {
	s.render(r, a, inside).send(w)
}

// Login writes the form by which people come in.
func (s *Site) Login(w http.ResponseWriter, r *http.Request, why string) {
	var data any
	if why != "" {
		data = why
	}
	s.write(w, r, Answer{Status: http.StatusUnauthorized, Template: "login", Title: "Log in", Data: data}, false)
}

// ServeHTTP implements http.Handler, for those who have shown the token, and for the style sheet.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == access.Style {
		w.Header().Set("Cache-Control", "max-age=300")
		http.ServeFileFS(w, r, files, "style.css")
		return
	}
	if _, pattern := s.mux.Handler(r); pattern == "" {
		s.write(w, r, Problem(http.StatusNotFound, "There is no such page."), true)
		return
	}
	s.mux.ServeHTTP(w, r)
}
