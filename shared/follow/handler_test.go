package follow

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/dhcp4o6/dhcp4o6/shared/access"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
)

func TestFollow(t *testing.T) {
	const token = "s3cret-s3cret-s3cret"
	hub, refused := new(trace.Hub), access.NewRefused(prometheus.NewRegistry(), "dhcp6d", slog.New(slog.DiscardHandler))
	h := access.NewGuard(token, refused, NewHandler(hub))
	call := func(target, token string) *httptest.ResponseRecorder {
		r, w := httptest.NewRequest(http.MethodGet, target, nil), httptest.NewRecorder()
		r.Header.Set("Authorization", "Bearer "+token)
		h.ServeHTTP(w, r)
		return w
	}
	t.Run("without the token", func(t *testing.T) {
		if w := call("/v1/trace?hw_address=02:00:00:00:00:01", "wrong"); w.Code != http.StatusUnauthorized {
			t.Errorf("%d", w.Code)
		}
		if n := testutil.ToFloat64(refused); n != 1 {
			t.Errorf("%v are counted", n)
		}
	})
	for name, query := range map[string]string{
		"nobody": "", "no hardware address": "?hw_address=xyz", "no address": "?source=router", "an IPv4 address": "?source=192.0.2.1", "another parameter": "?who=me",
	} {
		t.Run(name, func(t *testing.T) {
			if w := call("/v1/trace"+query, token); w.Code != http.StatusBadRequest {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	server := httptest.NewServer(h)
	defer server.Close()
	for name, query := range map[string]string{
		"colons": "hw_address=02:00:00:00:00:01", "dashes": "hw_address=02-00-00-00-00-01", "dots": "hw_address=0200.0000.0001", "nothing between": "hw_address=020000000001",
	} {
		t.Run("a hardware address with "+name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/v1/trace?"+query, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+token)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			traits := trace.Traits{HWAddr: []byte{2, 0, 0, 0, 0, 1}}
			hub.On().Of(&traits, time.Now()).Send(&trace.Record{Time: time.Now(), Exchange: name, Steps: []string{"dropped"}})
			var record trace.Record
			if err := json.NewDecoder(answer.Body).Decode(&record); err != nil || record.Exchange != name {
				t.Errorf("%+v, %v", record, err)
			}
			cancel()
			for end := time.Now().Add(time.Minute); hub.On() != nil; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("the watch lives on")
				}
			}
		})
	}
}
