package daemon

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestScrapersInALoopGetATenthOfAProcessor(t *testing.T) {
	const (
		work     = 50 * time.Millisecond
		run      = 100 * time.Second
		scrapers = 20
	)
	synctest.Test(t, func(t *testing.T) {
		var busy time.Duration
		s := newScrapes(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(work)
			busy += work
			_, _ = io.WriteString(w, "up 1\n")
		}))
		end := time.Now().Add(run)
		served := make([]int, scrapers)
		var all sync.WaitGroup
		for i := range scrapers {
			all.Go(func() {
				for time.Now().Before(end) {
					answer := httptest.NewRecorder()
					s.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil).WithContext(t.Context()))
					if answer.Code == http.StatusOK {
						served[i]++
					}
				}
			})
		}
		begun := time.Now()
		all.Wait()
		took := time.Since(begun)
		if limit := scrapeBurst + took/10 + work; busy > limit {
			t.Errorf("%v of work in %v, at most %v wanted", busy, took, limit)
		}
		if least := took / 10; busy < least {
			t.Errorf("%v of work in %v, at least %v is to be had", busy, took, least)
		}
		for i, n := range served {
			if n == 0 {
				t.Errorf("scraper %d got nothing", i)
			}
		}
	})
}

// stuck is a client that does not read.
type stuck struct {
	*httptest.ResponseRecorder
	begun, end chan struct{}
}

func (s stuck) Write(p []byte) (int, error) {
	close(s.begun)
	<-s.end
	return len(p), nil
}

func TestAScraperThatDoesNotReadHoldsUpNobody(t *testing.T) {
	s := newScrapes(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "up 1\n")
	}))
	scrape := func(w http.ResponseWriter) { s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil)) }
	slow := stuck{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
	done := make(chan struct{})
	go func() { scrape(slow); close(done) }()
	<-slow.begun
	answer := httptest.NewRecorder()
	scrape(answer)
	if answer.Code != http.StatusTeapot || answer.Body.String() != "up 1\n" || answer.Header().Get("Content-Type") != "text/plain" {
		t.Errorf("status %d, body %q, headers %v", answer.Code, answer.Body, answer.Header())
	}
	close(slow.end)
	<-done
}

func TestAScraperThatWaitsTooLongIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScrapes(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(2 * scrapeWait) }))
		scrape := func() *httptest.ResponseRecorder {
			answer := httptest.NewRecorder()
			s.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil).WithContext(t.Context()))
			return answer
		}
		go scrape()
		synctest.Wait()
		answer := scrape()
		if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" {
			t.Errorf("status %d, headers %v", answer.Code, answer.Header())
		}
		time.Sleep(2 * scrapeWait)
	})
}
