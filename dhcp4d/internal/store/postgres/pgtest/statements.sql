-- hold
WITH held AS (UPDATE dhcp4d.process SET wseq = $2::int8
		WHERE writer = $1::int8 AND wseq = $2::int8 - 1 AND NOT gone AND (SELECT
			abs(extract(epoch FROM clock_timestamp())::float8 + ahead - $3::float8) < $4::float8
			FROM dhcp4d.line)
		RETURNING 1) SELECT 1 / count(*) FROM held

-- hold and put
WITH held AS (UPDATE dhcp4d.process SET wseq = $2::int8
		WHERE writer = $1::int8 AND wseq = $2::int8 - 1 AND NOT gone AND (SELECT
			abs(extract(epoch FROM clock_timestamp())::float8 + ahead - $18::float8) < $19::float8
			FROM dhcp4d.line)
		RETURNING 1), done AS (INSERT INTO dhcp4d.lease AS l
			(addr, ports, subnet, state, hwtype, hw, client, point, source, start, changed, expires, remote, writer)
		SELECT r.*, $1::int8 FROM unnest($4::int8[], $5::int8[], $6::int8[], $7::int2[], $8::int2[], $9::bytea[], $10::bytea[],
			$11::bytea[], $12::bytea[], $13::int8[], $14::int8[], $15::int8[], $16::bytea[]) r WHERE (SELECT count(*) FROM held) = 1 ON CONFLICT (addr, ports) DO UPDATE SET subnet = excluded.subnet, state = excluded.state,
			hwtype = excluded.hwtype, hw = excluded.hw, client = excluded.client, point = excluded.point,
			source = excluded.source, start = excluded.start, changed = excluded.changed, expires = excluded.expires,
			remote = excluded.remote, writer = excluded.writer WHERE (l.client = excluded.client AND (l.state <> 2 OR ((l.start = excluded.start
				OR l.point = excluded.point OR (l.hwtype = excluded.hwtype AND l.hw = excluded.hw))
				AND (excluded.state = 2 OR l.changed < excluded.changed
					OR (l.changed = excluded.changed AND l.writer = excluded.writer)))))
			OR (excluded.state <> 3 AND (l.state <> 2 OR l.expires < $17::int8))
		RETURNING l.addr, l.ports), noted AS (INSERT INTO dhcp4d.change (writer, wseq, part, addrs, ports)
		SELECT $1::int8, $2::int8, $3::int2, array_agg(addr), array_agg(ports) FROM done HAVING count(*) > 0)
	SELECT count(*), 1 / (SELECT count(*) FROM held) FROM done

-- remove
WITH done AS (DELETE FROM dhcp4d.lease l USING unnest($4::int8[], $5::int8[]) r(addr, ports)
		WHERE l.addr = r.addr AND l.ports = r.ports RETURNING l.addr, l.ports), noted AS (INSERT INTO dhcp4d.change (writer, wseq, part, addrs, ports)
		SELECT $1::int8, $2::int8, $3::int2, array_agg(addr), array_agg(ports) FROM done HAVING count(*) > 0)
	SELECT count(*) FROM done

-- end
WITH done AS (UPDATE dhcp4d.lease l SET state = 3, expires = r.changed, changed = r.changed, writer = $1::int8
		FROM unnest($4::int8[], $5::int8[], $6::bytea[], $7::int8[], $8::int8[]) r(addr, ports, client, lost, changed)
		WHERE l.addr = r.addr AND l.ports = r.ports AND l.client = r.client AND l.state = 2
			AND (l.changed < r.lost OR (l.changed = r.lost AND l.writer = $1::int8))
		RETURNING l.addr, l.ports), noted AS (INSERT INTO dhcp4d.change (writer, wseq, part, addrs, ports)
		SELECT $1::int8, $2::int8, $3::int2, array_agg(addr), array_agg(ports) FROM done HAVING count(*) > 0)
	SELECT count(*) FROM done

-- put
WITH done AS (INSERT INTO dhcp4d.lease AS l
			(addr, ports, subnet, state, hwtype, hw, client, point, source, start, changed, expires, remote, writer)
		SELECT r.*, $1::int8 FROM unnest($4::int8[], $5::int8[], $6::int8[], $7::int2[], $8::int2[], $9::bytea[], $10::bytea[],
			$11::bytea[], $12::bytea[], $13::int8[], $14::int8[], $15::int8[], $16::bytea[]) r ON CONFLICT (addr, ports) DO UPDATE SET subnet = excluded.subnet, state = excluded.state,
			hwtype = excluded.hwtype, hw = excluded.hw, client = excluded.client, point = excluded.point,
			source = excluded.source, start = excluded.start, changed = excluded.changed, expires = excluded.expires,
			remote = excluded.remote, writer = excluded.writer WHERE (l.client = excluded.client AND (l.state <> 2 OR ((l.start = excluded.start
				OR l.point = excluded.point OR (l.hwtype = excluded.hwtype AND l.hw = excluded.hw))
				AND (excluded.state = 2 OR l.changed < excluded.changed
					OR (l.changed = excluded.changed AND l.writer = excluded.writer)))))
			OR (excluded.state <> 3 AND (l.state <> 2 OR l.expires < $17::int8))
		RETURNING l.addr, l.ports), noted AS (INSERT INTO dhcp4d.change (writer, wseq, part, addrs, ports)
		SELECT $1::int8, $2::int8, $3::int2, array_agg(addr), array_agg(ports) FROM done HAVING count(*) > 0)
	SELECT count(*) FROM done

-- restore
WITH done AS (INSERT INTO dhcp4d.lease AS l
			(addr, ports, subnet, state, hwtype, hw, client, point, source, start, changed, expires, remote, writer)
		SELECT r.*, $1::int8 FROM unnest($4::int8[], $5::int8[], $6::int8[], $7::int2[], $8::int2[], $9::bytea[], $10::bytea[],
			$11::bytea[], $12::bytea[], $13::int8[], $14::int8[], $15::int8[], $16::bytea[]) r ON CONFLICT (addr, ports) DO UPDATE SET subnet = excluded.subnet, state = excluded.state,
			hwtype = excluded.hwtype, hw = excluded.hw, client = excluded.client, point = excluded.point,
			source = excluded.source, start = excluded.start, changed = excluded.changed, expires = excluded.expires,
			remote = excluded.remote, writer = excluded.writer WHERE l.changed < excluded.changed AND ($18::bool OR (l.client = excluded.client AND (l.state <> 2 OR ((l.start = excluded.start
				OR l.point = excluded.point OR (l.hwtype = excluded.hwtype AND l.hw = excluded.hw))
				AND (excluded.state = 2 OR l.changed < excluded.changed
					OR (l.changed = excluded.changed AND l.writer = excluded.writer)))))
			OR (excluded.state <> 3 AND (l.state <> 2 OR l.expires < $17::int8))) RETURNING l.addr, l.ports), noted AS (INSERT INTO dhcp4d.change (writer, wseq, part, addrs, ports)
		SELECT $1::int8, $2::int8, $3::int2, array_agg(addr), array_agg(ports) FROM done HAVING count(*) > 0)
	SELECT count(*) FROM done

-- feed
SELECT w.writer, w.wseq, w.trimmed, c.addrs, c.ports
	FROM dhcp4d.process w
	LEFT JOIN unnest($2::int8[], $3::int8[]) s(writer, seen) ON s.writer = w.writer
	LEFT JOIN LATERAL (SELECT addrs, ports FROM dhcp4d.change
		WHERE writer = w.writer AND wseq > coalesce(s.seen, 0) AND wseq <= w.wseq
		ORDER BY writer, wseq LIMIT $4) c ON true
	WHERE w.writer <> $1 AND w.wseq <> coalesce(s.seen, 0)
	LIMIT $4

-- line
WITH t AS (SELECT extract(epoch FROM clock_timestamp())::float8 AS now)
	SELECT t.now, l.ahead,
		coalesce((SELECT max(seen) FROM dhcp4d.process
			WHERE writer <> $1 AND NOT gone AND seen BETWEEN t.now - $2 AND t.now + $2), 0),
		coalesce((SELECT seen FROM dhcp4d.process WHERE writer = $1 AND NOT gone), -1),
		ARRAY(SELECT writer FROM dhcp4d.process p
			WHERE NOT gone AND p.seen BETWEEN t.now - $2 AND t.now + $2 ORDER BY writer)
	FROM t, dhcp4d.line l

-- load
SELECT addr, ports, subnet, state, hwtype, hw, client, point, source, start, changed, expires, remote
	FROM dhcp4d.lease

-- rows
SELECT addr, ports, subnet, state, hwtype, hw, client, point, source, start, changed, expires, remote
	FROM dhcp4d.lease l JOIN unnest($1::int8[], $2::int8[]) k(addr, ports) USING (addr, ports)

-- standbys
SELECT current_setting('synchronous_standby_names'),
		count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')),
		count(*) FILTER (WHERE sync_state IN ('async', 'potential')),
		count(*) FILTER (WHERE sync_state IS NULL)
	FROM pg_stat_replication WHERE state IS DISTINCT FROM 'backup'

-- read only
show transaction_read_only

-- session
SET synchronous_commit = on; SET default_transaction_isolation = 'read committed';
	SET statement_timeout = 0; SET lock_timeout = '4s'; SET idle_in_transaction_session_timeout = '5s';
	SELECT set_config(s.name, k.value, false) FROM pg_settings s JOIN (VALUES ('tcp_keepalives_idle', '2'),
		('tcp_keepalives_interval', '1'), ('tcp_keepalives_count', '3'), ('tcp_user_timeout', '5000')) k(name, value)
		ON s.name = k.name

-- positions
SELECT writer, wseq FROM dhcp4d.process WHERE writer <> $1

-- position
SELECT wseq FROM dhcp4d.process WHERE writer = $1

-- compare
SELECT wseq, seen FROM dhcp4d.process WHERE writer = $1

-- stored
SELECT addrs, ports FROM dhcp4d.change WHERE writer = $1 AND wseq = $2 AND part = $3

-- seen
UPDATE dhcp4d.process SET seen = $2 WHERE writer = $1

-- ahead
UPDATE dhcp4d.line SET ahead = $2 WHERE ahead = $1

-- advance
UPDATE dhcp4d.line SET ahead = ahead + $1 RETURNING ahead

-- leave
UPDATE dhcp4d.process SET gone = true WHERE writer = $1

-- enter
INSERT INTO dhcp4d.process (writer, name, seen, gone, wseq, trimmed)
	SELECT $1::int8, $2::text, coalesce(nullif($3::float8, 0), extract(epoch FROM clock_timestamp())::float8), false, 0, 0
	FROM (SELECT v FROM dhcp4d.meta WHERE k = 'format' FOR SHARE) m WHERE m.v = $4::text

-- meta
SELECT max(v) FILTER (WHERE k = 'store'),
		coalesce(max(v) FILTER (WHERE k = 'repaired'), '') FROM dhcp4d.meta

-- setting
SELECT current_setting($1)

-- tables
SELECT count(*) > 0 FROM information_schema.tables
		WHERE table_schema = 'dhcp4d' AND table_name = 'meta'

-- format
SELECT v FROM dhcp4d.meta WHERE k = 'format'

-- mark
SELECT v FROM dhcp4d.meta WHERE k = 'clock'

-- set meta
INSERT INTO dhcp4d.meta (k, v) VALUES ($1, $2)
			ON CONFLICT (k) DO UPDATE SET v = excluded.v

-- size
SELECT pg_total_relation_size('dhcp4d.lease')

-- trim
WITH old AS (DELETE FROM dhcp4d.change
				WHERE writer = $1 AND at < now() - make_interval(secs => $2) RETURNING wseq)
			UPDATE dhcp4d.process SET trimmed = greatest(trimmed, (SELECT max(wseq) FROM old))
			WHERE writer = $1 AND EXISTS (SELECT 1 FROM old)

-- forget
WITH old AS (DELETE FROM dhcp4d.process
				WHERE writer <> $1 AND seen < extract(epoch FROM now())::float8 - $2 RETURNING writer)
			DELETE FROM dhcp4d.change WHERE writer IN (SELECT writer FROM old)
