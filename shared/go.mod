module github.com/dhcp4o6/dhcp4o6/shared

go 1.26.0

require (
	github.com/caarlos0/env/v10 v10.0.0
	github.com/insomniacslk/dhcp v0.0.0-20260901064844-234b97448fae
	github.com/lmittmann/tint v1.2.1
	github.com/prometheus/client_golang v1.25.0
	golang.org/x/sys v0.49.0
	pgregory.net/rapid v1.3.0
)
