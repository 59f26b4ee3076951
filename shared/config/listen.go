package config

import (
	"fmt"
	"net"
	"strconv"
)

// Listen is the address of a TCP server, as net.Listen takes it: "host:port", "[v6]:port" or
// ":port". The empty value means that it does not listen.
type Listen string

// UnmarshalText checks the form. Names are resolved when the server starts.
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
