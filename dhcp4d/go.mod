module github.com/dhcp4o6/dhcp4o6/dhcp4d

go 1.26.0

require (
	github.com/caarlos0/env/v10 v10.0.0
	github.com/cockroachdb/pebble/v2 v2.1.7
	github.com/dhcp4o6/dhcp4o6/shared v0.0.0
	github.com/gaissmai/bart v0.30.0
	github.com/insomniacslk/dhcp v0.0.0-20260901064844-234b97448fae
	github.com/prometheus/client_golang v1.25.0
	go.yaml.in/yaml/v3 v3.0.6
	golang.org/x/sys v0.49.0
	pgregory.net/rapid v1.3.0
)

replace github.com/dhcp4o6/dhcp4o6/shared => ../shared
