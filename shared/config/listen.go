package config

import (
	"fmt"
	"net"
	"strconv"
)

// Listen is where a TCP server listens, as net.Listen takes it: "host:port",
// "[v6]:port" or ":port". The empty value means not at all.
type Listen string

// UnmarshalText checks the form; names are resolved when the server starts.
func (a *Listen) UnmarshalText(text []byte) error {
	_, port, err := net.SplitHostPort(string(text))
	if err != nil {
		return fmt.Errorf("%q is no listen address", text)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q has no port from 0 to 65535", text)
	}
	*a = Listen(text)
	return nil
}
