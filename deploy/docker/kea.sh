#!/bin/sh
# The DHCPv6 server of the lab's profile kea: addresses and prefixes for clients on the access
# network. It is reached by dhcp6d only, as behind any relay agent.
#
#     kea.sh ADDRESS ACCESS-NETWORK     where it listens; the clients' /64 without "::/64"
set -eu
export KEA_PIDFILE_DIR=/tmp KEA_LOCKFILE_DIR=/tmp KEA_DHCP_DATA_DIR=/tmp KEA_LOGGER_DESTINATION=stdout
cat >/tmp/kea-dhcp6.conf <<CONF
{ "Dhcp6": {
	"interfaces-config": { "interfaces": [ "eth0/$1" ] },
	"lease-database": { "type": "memfile", "persist": false },
	"server-id": { "type": "EN", "enterprise-id": 2495, "identifier": "4f36", "persist": false },
	"option-data": [ { "name": "dns-servers", "data": "$2::53" } ],
	"subnet6": [ {
		"id": 1,
		"subnet": "$2::/64",
		"rapid-commit": true,
		"pools": [ { "pool": "$2::1000 - $2::1fff" } ],
		"pd-pools": [ { "prefix": "2001:db8:1000::", "prefix-len": 40, "delegated-len": 56 } ]
	} ],
	"loggers": [ { "name": "kea-dhcp6", "severity": "INFO", "output_options": [ { "output": "stdout", "flush": true } ] } ]
} }
CONF
exec kea-dhcp6 -c /tmp/kea-dhcp6.conf
