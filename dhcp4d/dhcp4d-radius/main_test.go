package main

import (
	"io"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	environ := []string{"RADIUS_SOCKET=/run/x", "RADIUS_SERVERS=[::1]:1812", "RADIUS_SECRET=x"}
	if err := run(t.Context(), []string{"-check"}, environ, io.Discard, io.Discard); err != nil {
		t.Error(err)
	}
	err := run(t.Context(), []string{"-check"}, append(environ, "RADIUS_KEEP=never"), io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "RADIUS_KEEP") {
		t.Errorf("a wrong variable: %v", err)
	}
	var said strings.Builder
	if err := run(t.Context(), []string{"-version"}, nil, &said, io.Discard); err != nil ||
		!strings.HasPrefix(said.String(), "dhcp4d-radius ") {
		t.Errorf("%q, %v", said.String(), err)
	}
	if err := run(t.Context(), nil, append(environ, "RADIUS_SOCKET=/nonexistent/socket"), io.Discard, io.Discard); err == nil {
		t.Error("a socket that cannot be made is no error")
	}
}
