package page

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/follow"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
	"github.com/dhcp4o6/dhcp4o6/shared/web"
)

type kind struct {
	Name, About string
	Chosen      bool
}

// form is the data of the template trace.
type form struct {
	Label, Value string
	Kinds        []kind
	Problem      string
	Following    bool
}

// aliveEvery is how often a page without news is written to, so that one that was left is noticed.
const aliveEvery = web.WriteTime / 2

// Trace serves the live trace: a page that goes on while packets come, without a script.
func (s *Site) Trace(hub *trace.Hub) {
	s.nav = append(s.nav, entry{"Live trace", "/trace"})
	s.mux.HandleFunc("GET /trace", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		f := form{Label: "Follow", Value: q.Get("value")}
		for _, k := range []kind{
			{"hw_address", "hardware address", false}, {"client_id", "client identifier (hex)", false}, {"interface_id", "Interface-Id", false},
			{"remote_id", "Remote-Id (enterprise:text)", false}, {"source", "IPv6 address or prefix", false},
		} {
			k.Chosen = k.Name == q.Get("kind")
			f.Kinds = append(f.Kinds, k)
		}
		answer := Answer{Template: "trace", Title: "Live trace"}
		if f.Value == "" {
			answer.Data = f
			s.write(w, r, answer, true)
			return
		}
		status := http.StatusBadRequest
		of, err := follow.Subscriber(url.Values{q.Get("kind"): {f.Value}})
		var watch *trace.Watch
		if err == nil {
			status = http.StatusServiceUnavailable
			watch, err = hub.Watch(of)
		}
		if err != nil {
			f.Problem = err.Error()
			answer.Status, answer.Data = status, f
			s.write(w, r, answer, true)
			return
		}
		defer watch.Close()
		f.Following = true
		answer.Data = f
		s.stream(w, r, answer, watch)
	})
}

// stream writes a page and what is followed, until its reader goes away.
func (s *Site) stream(w http.ResponseWriter, r *http.Request, a Answer, watch *trace.Watch) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // a test without a connection has none
	alive := time.NewTicker(aliveEvery)
	defer alive.Stop()
	s.write(w, r, a, true)
	for {
		_ = control.SetWriteDeadline(time.Now().Add(web.WriteTime))
		if control.Flush() != nil {
			return
		}
		if !s.next(r.Context(), w, watch, alive.C) {
			return
		}
	}
}

// next writes the next record, or a sign of life. It is false if the page has been left.
func (s *Site) next(ctx context.Context, w http.ResponseWriter, watch *trace.Watch, alive <-chan time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case record := <-watch.Records():
		return s.templates.ExecuteTemplate(w, "record", record) == nil
	case <-alive:
		_, err := w.Write([]byte("\n"))
		return err == nil
	}
}
