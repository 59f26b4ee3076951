module github.com/dhcp4o6/dhcp4o6/dhcp6d

go 1.26.0

require (
	github.com/caarlos0/env/v10 v10.0.0
	github.com/dhcp4o6/dhcp4o6/shared v0.0.0
	github.com/insomniacslk/dhcp v0.0.0-20260901064844-234b97448fae
	github.com/prometheus/client_golang v1.25.0
	github.com/vishvananda/netlink v1.3.1
	golang.org/x/sys v0.49.0
	pgregory.net/rapid v1.3.0
)

replace github.com/dhcp4o6/dhcp4o6/shared => ../shared
