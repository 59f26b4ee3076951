package web

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections lead nowhere.
type pipes struct{ net.Listener }

func (pipes) Accept() (net.Conn, error) {
	c, _ := net.Pipe()
	return c, nil
}

// Whoever opens connections, or sends requests, without a pause takes no more than a bounded part
// of a processor, and somebody else is served within a fraction of a second.
func TestAListenerHasItsPace(t *testing.T) {
	for name, once := range map[string]func() func(){
		"requests": func() func() {
			s := New(pipes{}, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
			return func() {
				s.http.Handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
			}
		},
		"connections": func() func() {
			b := &bounded{Listener: pipes{}, max: Connections}
			return func() {
				if _, err := b.Accept(); err != nil {
					t.Error(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				do := once()
				start := time.Now()
				const each, seconds = 100, 4
				var all sync.WaitGroup
				for range (1 + seconds) * Rate / each {
					all.Go(func() {
						for range each {
							do()
						}
					})
				}
				all.Wait()
				if took := time.Since(start); took != seconds*time.Second {
					t.Errorf("%d seconds' worth took %v", 1+seconds, took)
				}
				time.Sleep(time.Hour)
				start = time.Now()
				for range Rate {
					do()
				}
				if took := time.Since(start); took != 0 {
					t.Errorf("after a pause a second's worth took %v", took)
				}
				start = time.Now()
				do()
				if took := time.Since(start); took > time.Second/Rate {
					t.Errorf("one more took %v", took)
				}
			})
		})
	}
}
