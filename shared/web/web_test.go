package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serve serves h on the loopback interface until the test ends.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(l, h, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return s.Addr().String()
}

func dial(t *testing.T, at string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func get(at string) (string, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + at + "/")
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	return string(body), err
}

// closed reports whether the other side has closed the connection.
func closed(t *testing.T, c net.Conn) bool {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	_, err := io.Copy(io.Discard, c)
	var network net.Error
	return !errors.As(err, &network) || !network.Timeout()
}

func TestManyConnectionsLeaveRoomForOneMore(t *testing.T) {
	tests := []struct {
		name    string
		request string
	}{
		{"that never send a request", ""},
		{"that never end their request", "GET / HTTP/1.1\r\nHost: x\r\nX-Long: "},
		{"that never read their answer", "GET /long HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"that idle after their answer", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			long := make([]byte, 1<<20)
			at := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/long" {
					for range 64 {
						if _, err := w.Write(long); err != nil {
							return
						}
					}
					return
				}
				_, _ = io.WriteString(w, "hello")
			}))
			before := runtime.NumGoroutine()
			var conns []net.Conn
			for range 3 * Connections {
				c := dial(t, at)
				if _, err := io.WriteString(c, tt.request); err != nil {
					t.Fatal(err)
				}
				conns = append(conns, c)
			}
			if body, err := get(at); err != nil || body != "hello" {
				t.Fatalf("beside %d others: %q, %v", len(conns), body, err)
			}
			for i, c := range conns[:2*Connections] {
				if !closed(t, c) {
					t.Fatalf("connection %d of %d is still open", i, len(conns))
				}
			}
			// Two goroutines a connection, and some that are about to end.
			if now := runtime.NumGoroutine() - before; now > 3*Connections {
				t.Errorf("%d goroutines more", now)
			}
		})
	}
}

// A request whose connection had to make room is over at once, also if others wait behind it:
// a scrape must not wait for its turn on behalf of nobody.
func TestARequestEndsWithItsConnection(t *testing.T) {
	begun, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	at := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/wait" {
			return
		}
		begun <- struct{}{}
		<-r.Context().Done()
		ended <- struct{}{}
	}))
	first := dial(t, at)
	const more = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	if _, err := io.WriteString(first, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"+strings.Repeat(more, 1000)); err != nil {
		t.Fatal(err)
	}
	<-begun
	for range Connections {
		dial(t, at)
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("a request goes on whose connection is closed")
		_ = first.Close()
	}
}

func TestAClosedConnectionLeavesTheList(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &bounded{Listener: l, max: 2}
	defer func() { _ = b.Close() }()
	var accepted []net.Conn
	for range 2 {
		dial(t, l.Addr().String())
		c, err := b.Accept()
		if err != nil {
			t.Fatal(err)
		}
		accepted = append(accepted, c)
	}
	_ = accepted[0].Close()
	_ = accepted[0].Close() // twice does no harm
	if len(b.open) != 1 || b.open[0] != accepted[1] {
		t.Errorf("%d connections on the list, want the second alone", len(b.open))
	}
}

func TestStopping(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-end
		_, _ = io.WriteString(w, "late")
	}), slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	c := dial(t, s.Addr().String())
	if _, err := fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-begun
	stop()
	close(end)
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("the answer under way is lost: %v", err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || string(body) != "late" {
		t.Errorf("%q, %v", body, err)
	}
	_ = r.Body.Close()
	if err := <-done; err != nil {
		t.Errorf("ended with %v", err)
	}
}

// The kernel keeps little for a client that does not read.
func TestTheBufferOfAnAnswerIsBounded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &bounded{Listener: l, max: 1}
	t.Cleanup(func() { l.Close() })
	dial(t, l.Addr().String())
	c, err := b.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*conn).Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var octets int
	if e := raw.Control(func(fd uintptr) {
		octets, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF)
	}); e != nil || err != nil {
		t.Fatal(e, err)
	}
	if octets != 2*writeBuffer {
		t.Errorf("the kernel keeps %d octets, want %d", octets, 2*writeBuffer)
	}
}
