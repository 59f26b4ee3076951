#!/bin/sh
# One of the two PostgreSQL servers of the lab (profile shared of docker-compose.yml):
#
#     postgres.sh NAME OTHER
#
# OTHER is the address of the other server. If the other takes writes, this one becomes its
# standby, and drops what it had. Otherwise it goes on with what it has. The first server
# makes the database.
#
# This is for a lab: nothing decides here which server is right if both were alone for a
# time. Networks that serve people use a tool for that, such as Patroni.
set -eu
name=$1 other=$2

# password prints the password of a user: the last field of its file.
password() {
	read -r line <"/run/secrets/database-$1"
	printf %s "${line##*:}"
}

other_takes_writes() {
	[ "$(psql -h "$other" -U standby -d postgres -Atqc 'SELECT NOT pg_is_in_recovery()' 2>/dev/null)" = t ]
}

# What is made appears under its name when it is whole.
take_over() {
	rm -rf "$PGDATA"
	mv "$PGDATA.new" "$PGDATA"
}

make() {
	rm -rf "$PGDATA.new"
	initdb -D "$PGDATA.new" -U postgres -A peer -E UTF8 --no-locale >/dev/null
	cat >"$PGDATA.new/pg_hba.conf" <<-END
		local all postgres peer
		host dhcp4d dhcp4d_owner,dhcp4d_server all scram-sha-256
		host postgres,replication standby all scram-sha-256
	END
	cat >>"$PGDATA.new/postgresql.conf" <<-END
		listen_addresses = '*'
		unix_socket_directories = '/tmp'
		wal_keep_size = 256MB # a standby may be away for so long
		wal_retrieve_retry_interval = 1s
	END
	# One statement a line. The rights are those of docs/database.md, for tables that
	# dhcp4d store migrate makes later.
	postgres --single -D "$PGDATA.new" postgres >/dev/null <<-END
		CREATE ROLE standby LOGIN REPLICATION PASSWORD '$(password standby)';
		CREATE ROLE dhcp4d_owner LOGIN PASSWORD '$(password owner)';
		CREATE ROLE dhcp4d_server LOGIN PASSWORD '$(password server)';
		GRANT pg_read_all_stats TO dhcp4d_server;
		CREATE DATABASE dhcp4d OWNER dhcp4d_owner;
	END
	postgres --single -D "$PGDATA.new" dhcp4d >/dev/null <<-END
		ALTER DEFAULT PRIVILEGES FOR ROLE dhcp4d_owner GRANT USAGE ON SCHEMAS TO dhcp4d_server;
		ALTER DEFAULT PRIVILEGES FOR ROLE dhcp4d_owner GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO dhcp4d_server;
		ALTER SYSTEM SET synchronous_standby_names = '*';
	END
	take_over
}

follow() {
	rm -rf "$PGDATA.new"
	pg_basebackup -D "$PGDATA.new" -R -X stream -c fast -d "host=$other user=standby application_name=$name"
	# Otherwise it would wait for a standby as soon as it is promoted.
	echo "synchronous_standby_names = ''" >>"$PGDATA.new/postgresql.auto.conf"
	take_over
}

PGPASSWORD=$(password standby)
export PGPASSWORD
if other_takes_writes; then
	[ -e "$PGDATA/standby.signal" ] || follow
elif [ ! -e "$PGDATA" ]; then
	if [ "$name" = db-a ]; then
		make
	else
		echo "no data, and $other does not take writes" >&2
		exit 1
	fi
fi
unset PGPASSWORD
exec postgres -D "$PGDATA"
