module github.com/dhcp4o6/dhcp4o6/bench

go 1.26.0

require (
	github.com/dhcp4o6/dhcp4o6/clients v0.0.0
	github.com/dhcp4o6/dhcp4o6/shared v0.0.0
	github.com/dhcp4o6/dhcp4o6/test v0.0.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/insomniacslk/dhcp v0.0.0-20260901064844-234b97448fae // indirect
	github.com/josharian/native v1.1.0 // indirect
	github.com/pierrec/lz4/v4 v4.1.14 // indirect
	github.com/u-root/uio v0.0.0-20230220225925-ffce2a382923 // indirect
	github.com/vishvananda/netlink v1.3.1 // indirect
	github.com/vishvananda/netns v0.0.5 // indirect
)

replace (
	github.com/dhcp4o6/dhcp4o6/clients => ../clients
	github.com/dhcp4o6/dhcp4o6/shared => ../shared
	github.com/dhcp4o6/dhcp4o6/test => ../test
)
