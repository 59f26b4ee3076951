module github.com/dhcp4o6/dhcp4o6/deploy/lab

go 1.26.0

require (
	github.com/dhcp4o6/dhcp4o6/shared v0.0.0
	github.com/insomniacslk/dhcp v0.0.0-20260901064844-234b97448fae
	github.com/vishvananda/netlink v1.3.1
	github.com/vishvananda/netns v0.0.5
	golang.org/x/sys v0.49.0
	pgregory.net/rapid v1.3.0
)

require go.yaml.in/yaml/v3 v3.0.6 // indirect

replace github.com/dhcp4o6/dhcp4o6/shared => ../../shared
