package monitoring

// Dashboards are all dashboards that we ship. They are made for a width of 1366 pixels: a row has
// at most four panels. The first screen of the first page has what an operator needs first in
// trouble.
func Dashboards() []Dashboard { return []Dashboard{overview(), leases(), hooks()} }

const rate = "[$__rate_interval]"

// quantile returns the expression of a quantile of a histogram, by labels. It works with classic
// buckets and with a native histogram.
func quantile(q, by, metric, selector string) string {
	return `histogram_quantile(` + q + `, sum by (` + by + `, le) (rate(` + metric + `_bucket` + selector + rate + `)))` +
		` or histogram_quantile(` + q + `, sum by (` + by + `) (rate(` + metric + selector + rate + `)))`
}

// heat returns the expression of a heat map for a histogram of either kind.
func heat(metric, selector string) string {
	return `sum by (le) (rate(` + metric + `_bucket` + selector + rate + `)) or sum(rate(` + metric + selector + rate + `))`
}

func overview() Dashboard {
	return Dashboard{Name: "overview", Title: "DHCPv4 over DHCPv6: overview", Rows: []Row{
		{Height: 4, Panels: []Panel{
			{Title: "Ready", Runbook: "Dhcp4o6Down", About: "Daemons that are ready, of those that Prometheus knows.", Kind: Tile, Width: 4, Unit: "percentunit", Below: []float64{1, 0.5},
				Queries: []Query{{`(sum(dhcp6d_ready or dhcp4d_ready) or vector(0)) / count(up{job=~"dhcp[46]d"})`, ""}}},
			{Title: "Backends in", Runbook: "Dhcp4o6BackendDown", About: "Backends that answer, of those configured.", Kind: Tile, Width: 4, Unit: "percentunit", Below: []float64{1, 0.5},
				Queries: []Query{{`sum(dhcp6d_ipc_backend_up) / count(dhcp6d_ipc_backend_up)`, ""}}},
			{Title: "Answered", Runbook: "Dhcp4o6AnswerGap", About: "Queries that led to an answer, or need none by rule, in the last five minutes, in the cluster where they are fewest.", Kind: Tile, Width: 4, Unit: "percentunit", Below: []float64{0.95, 0.8},
				Queries: []Query{{`min(dhcp4o6:answered:ratio_rate5m)`, ""}}},
			{Title: "Fullest pool", About: "How full the fullest pool of any dhcp4d is.", Kind: Tile, Width: 4, Unit: "percentunit", Above: []float64{0.9, 0.98},
				Queries: []Query{{`max(job_instance_subnet_pool:dhcp4d_pool_assigned:ratio)`, ""}}},
			{Title: "Active leases", About: "Leases that have not ended, of all subnets.", Kind: Tile, Width: 4, Unit: "short",
				Queries: []Query{{`sum(dhcp4d_leases{state="bound"})`, ""}}},
			{Title: "Alerts", About: "Alerts that fire; docs/runbook.md has a section for each.", Kind: Tile, Width: 4, Unit: "none", Above: []float64{1, 3},
				Queries: []Query{{`count(ALERTS{alertname=~"Dhcp.*", alertstate="firing", cluster=~"$cluster"}) or vector(0)`, ""}}},
		}},
		{Title: "The way of a query", Height: 7, Panels: []Panel{
			{Title: "Received, forwarded, answered, relayed", About: "Four lines on top of each other are a healthy service. Where two part, queries are lost between them.",
				Kind: Lines, Width: 12, Unit: "reqps", Queries: []Query{
					{`sum(rate(dhcp6d_packets_received_total{type="dhcpv4_query"}` + rate + `))`, "received by dhcp6d"},
					{`sum(rate(dhcp6d_queries_forwarded_total` + rate + `))`, "forwarded to dhcp4d"},
					{`sum(rate(dhcp4d_responses_sent_total` + rate + `)) + sum(rate(dhcp4d_queries_silent_total` + rate + `))`, "answered by dhcp4d"},
					{`sum(rate(dhcp6d_responses_relayed_total` + rate + `)) + (sum(rate(dhcp4d_queries_silent_total` + rate + `)) or vector(0))`, "relayed to clients"},
				}},
			{Title: "Drops by reason", Runbook: "DhcpDrops", About: "The reason says which check failed. The runbook's section DhcpDrops has the usual causes.",
				Kind: Stacked, Width: 12, Unit: "reqps", Queries: []Query{
					{`sum by (reason) (rate(dhcp6d_packets_dropped_total` + rate + `)) > 0`, "dhcp6d {{reason}}"},
					{`sum by (reason) (rate(dhcp4d_packets_dropped_total` + rate + `)) > 0`, "dhcp4d {{reason}}"},
				}},
		}},
		{Height: 7, Panels: []Panel{
			{Title: "Silent by rule", Runbook: "DhcpSilence", About: "Messages that were understood and get no answer. The reason says by which rule; docs/metrics.md has them all.",
				Kind: Stacked, Width: 24, Unit: "reqps", Queries: []Query{
					{`sum by (reason) (rate(dhcp6d_packets_silent_total` + rate + `)) > 0`, "dhcp6d {{reason}}"},
					{`sum by (reason) (rate(dhcp4d_queries_silent_total` + rate + `)) > 0`, "dhcp4d {{reason}}"},
				}},
		}},
		{Height: 7, Panels: []Panel{
			{Title: "Queries by type", About: "DHCPv4 messages that dhcp4d received. Many DISCOVERs and few REQUESTs are clients that get no offer.", Kind: Lines, Width: 8, Unit: "reqps",
				Queries: []Query{{`sum by (type) (rate(dhcp4d_queries_received_total` + rate + `)) > 0`, "{{type}}"}}},
			{Title: "Responses by type", About: "DHCPv4 messages that dhcp4d sent. NAKs tell clients to give up their address.", Kind: Lines, Width: 8, Unit: "reqps",
				Queries: []Query{{`sum by (type) (rate(dhcp4d_responses_sent_total` + rate + `)) > 0`, "{{type}}"}}},
			{Title: "Queries by path", About: "How they come to dhcp6d.", Kind: Lines, Width: 8, Unit: "reqps",
				Queries: []Query{{`sum by (path, dest) (rate(dhcp6d_queries_forwarded_total` + rate + `)) > 0`, "{{path}}, {{dest}}"}}},
		}},
		{Title: "Between the daemons", Height: 7, Panels: []Panel{
			{Title: "Round trip", Runbook: "Dhcp4o6IpcSlow", About: "From a query leaving dhcp6d to its answer coming back.", Kind: Heat, Width: 12, Unit: "s",
				Queries: []Query{{heat(`dhcp6d_ipc_round_trip_seconds`, `{result="response"}`), "{{le}}"}}},
			{Title: "Round trip, median and 99th percentile", About: "By backend. Half of the answers, and 99 of 100, come within this time.", Kind: Lines, Width: 12, Unit: "s",
				Queries: []Query{
					{quantile("0.5", "backend", `dhcp6d_ipc_round_trip_seconds`, `{result="response"}`), "median {{backend}}"},
					{quantile("0.99", "backend", `dhcp6d_ipc_round_trip_seconds`, `{result="response"}`), "99 % {{backend}}"},
				}},
		}},
		{Height: 6, Panels: []Panel{
			{Title: "Backends", About: "As each dhcp6d sees them.", Kind: Timeline, Width: 6, Unit: "none", States: [2]string{"out", "in"},
				Queries: []Query{{`min by (instance, backend) (dhcp6d_ipc_backend_up)`, "{{backend}} for {{instance}}"}}},
			{Title: "Probes answered", About: "One per second and backend while all is well.", Kind: Lines, Width: 6, Unit: "reqps",
				Queries: []Query{
					{`sum by (instance) (rate(dhcp6d_ipc_probe_replies_total` + rate + `))`, "answers heard by {{instance}}"},
					{`sum by (instance) (rate(dhcp4d_ipc_probes_total` + rate + `))`, "probes heard by {{instance}}"},
				}},
			{Title: "In flight", About: "Queries whose answer is still awaited.", Kind: Lines, Width: 6, Unit: "short",
				Queries: []Query{{`sum by (instance) (dhcp6d_ipc_in_flight)`, "{{instance}}"}}},
			{Title: "Answers missing, late or unknown", Runbook: "Dhcp4o6IpcTimeouts", About: "Queries without an answer after 2 s, answers after that, and answers to no query that is remembered.", Kind: Lines, Width: 6, Unit: "reqps",
				Queries: []Query{
					{`sum by (backend) (rate(dhcp6d_ipc_timeouts_total` + rate + `))`, "no answer {{backend}}"},
					{`sum by (backend) (rate(dhcp6d_ipc_late_responses_total` + rate + `))`, "late {{backend}}"},
					{`sum by (backend) (rate(dhcp6d_ipc_unmatched_responses_total` + rate + `))`, "unknown {{backend}}"},
				}},
		}},
		{Title: "Processes", Height: 6, Panels: []Panel{
			{Title: "CPU", About: "1 is a whole core.", Kind: Lines, Width: 6, Unit: "percentunit",
				Queries: []Query{{`rate(process_cpu_seconds_total{job=~"dhcp[46]d"}` + rate + `)`, "{{instance}}"}}},
			{Title: "Memory", About: "Resident memory. dhcp4d's grows with its leases.", Kind: Lines, Width: 6, Unit: "bytes",
				Queries: []Query{{`process_resident_memory_bytes{job=~"dhcp[46]d"}`, "{{instance}}"}}},
			{Title: "Waiting in sockets", About: "Octets that the daemon has not read yet; drops by the kernel follow when the buffer is full.", Kind: Lines, Width: 6, Unit: "bytes",
				Queries: []Query{
					{`max by (instance, socket) (dhcp6d_socket_receive_queue_bytes)`, "{{instance}} {{socket}}"},
					{`max by (instance, socket) (dhcp4d_socket_receive_queue_bytes)`, "{{instance}} {{socket}}"},
				}},
			{Title: "Dropped by the kernel", About: "Datagrams that found a full buffer of a socket: the daemon did not keep up.", Kind: Lines, Width: 6, Unit: "reqps",
				Queries: []Query{
					{`sum by (instance, socket) (rate(dhcp6d_socket_drops_total` + rate + `))`, "{{instance}} {{socket}}"},
					{`sum by (instance, socket) (rate(dhcp4d_socket_drops_total` + rate + `))`, "{{instance}} {{socket}}"},
				}},
		}},
		{Height: 5, Panels: []Panel{
			{Title: "Versions", About: "What runs where. Daemons of one release belong together.", Kind: Table, Width: 24, Unit: "none",
				Queries: []Query{{`dhcp6d_build_info or dhcp4d_build_info`, ""}},
				Columns: []Column{{"instance", "Instance", ""}, {"job", "Daemon", ""}, {"version", "Version", ""}, {"revision", "Revision", ""}, {"goversion", "Go", ""}}},
		}},
	}}
}

func leases() Dashboard {
	const chosen = `{subnet=~"$subnet"}`
	return Dashboard{Name: "leases", Title: "DHCPv4 over DHCPv6: leases",
		Variables: []Variable{{Name: "subnet", Label: "Subnet",
			Query: `query_result(dhcp4d_subnet_info{cluster=~"$cluster", instance=~"$instance"})`,
			Regex: `/prefix="(?<text>[^"]+)".*subnet="(?<value>[^"]+)"/`}},
		Rows: []Row{
			{Height: 4, Panels: []Panel{
				{Title: "Active", About: "Leases that have not ended.", Kind: Tile, Width: 5, Unit: "short",
					Queries: []Query{{`sum(dhcp4d_leases{state="bound", subnet=~"$subnet"})`, ""}}},
				{Title: "Offered", About: "Addresses held for a client that has been offered one.", Kind: Tile, Width: 5, Unit: "short",
					Queries: []Query{{`sum(dhcp4d_leases{state="offered", subnet=~"$subnet"})`, ""}}},
				{Title: "In quarantine", About: "Addresses that a client found in use by somebody else.", Kind: Tile, Width: 5, Unit: "short",
					Queries: []Query{{`sum(dhcp4d_leases{state="declined", subnet=~"$subnet"})`, ""}}},
				{Title: "Former", About: "Ended or released, and kept for the client's return.", Kind: Tile, Width: 5, Unit: "short",
					Queries: []Query{{`sum(dhcp4d_leases{state="former", subnet=~"$subnet"})`, ""}}},
				{Title: "Fullest pool", About: "How full the fullest pool of the chosen subnets is.", Kind: Tile, Width: 4, Unit: "percentunit", Above: []float64{0.9, 0.98},
					Queries: []Query{{`max(job_instance_subnet_pool:dhcp4d_pool_assigned:ratio` + chosen + `)`, ""}}},
			}},
			{Height: 8, Panels: []Panel{
				{Title: "Pools", About: "A pool is what one dhcp4d has to give.", Kind: Table, Width: 12, Unit: "short",
					Queries: []Query{
						{`dhcp4d_pool_addresses` + chosen + ` * on (cluster, job, instance, subnet) group_left (prefix) dhcp4d_subnet_info`, ""},
						{`dhcp4d_pool_addresses_assigned` + chosen + ` * on (cluster, job, instance, subnet) group_left (prefix) dhcp4d_subnet_info`, ""},
						{`job_instance_subnet_pool:dhcp4d_pool_assigned:ratio` + chosen + ` * on (cluster, job, instance, subnet) group_left (prefix) dhcp4d_subnet_info`, ""},
					},
					Columns: []Column{{"instance", "Server", ""}, {"subnet", "Subnet", ""}, {"prefix", "Prefix", ""}, {"pool", "Pool", ""},
						{"Value #A", "Addresses", "short"}, {"Value #B", "Taken", "short"}, {"Value #C", "Full", "percentunit"}}},
				{Title: "Use of the pools", About: "How much of each pool is given out. A pool that is full serves no new client.", Kind: Lines, Width: 12, Unit: "percentunit",
					Queries: []Query{{`job_instance_subnet_pool:dhcp4d_pool_assigned:ratio` + chosen, "{{instance}} subnet {{subnet}} pool {{pool}}"}}},
			}},
			{Height: 7, Panels: []Panel{
				{Title: "Leases by state", About: "What becomes of the addresses of the chosen subnets.", Kind: Stacked, Width: 12, Unit: "short",
					Queries: []Query{{`sum by (state) (dhcp4d_leases` + chosen + `)`, "{{state}}"}}},
				{Title: "Events", About: "What happened to leases, per second, in all subnets.", Kind: Lines, Width: 12, Unit: "ops",
					Queries: []Query{{`sum by (event) (rate(dhcp4d_lease_events_total` + rate + `)) > 0`, "{{event}}"}}},
			}},
			{Title: "Store", Height: 7, Panels: []Panel{
				{Title: "Commit latency", Runbook: "DhcpStoreSlow", About: "Time to put one group of bindings on disk; every ACK waits for one.", Kind: Heat, Width: 12, Unit: "s",
					Queries: []Query{{heat(`dhcp4d_store_commit_seconds`, ""), "{{le}}"}}},
				{Title: "Commit latency, median and 99th percentile", About: "Half of the commits, and 99 of 100, are on disk within this time.", Kind: Lines, Width: 12, Unit: "s",
					Queries: []Query{
						{quantile("0.5", "instance", `dhcp4d_store_commit_seconds`, ""), "median {{instance}}"},
						{quantile("0.99", "instance", `dhcp4d_store_commit_seconds`, ""), "99 % {{instance}}"},
					}},
			}},
			{Height: 6, Panels: []Panel{
				{Title: "Bindings per commit", About: "How many bindings share one sync: the lever of the throughput.", Kind: Lines, Width: 6, Unit: "short",
					Queries: []Query{{`rate(dhcp4d_store_wal_records_total` + rate + `) / (rate(dhcp4d_store_commit_seconds_count` + rate + `) > 0)`, "{{instance}}"}}},
				{Title: "On disk", About: "Size of the store.", Kind: Lines, Width: 6, Unit: "bytes",
					Queries: []Query{
						{`dhcp4d_store_bytes`, "store {{instance}}"},
					}},
				{Title: "Failures", Runbook: "DhcpStoreFailing", About: "What the store could not do. Until it can, no lease is acknowledged.", Kind: Lines, Width: 6, Unit: "ops",
					Queries: []Query{{`sum by (instance, op) (rate(dhcp4d_store_errors_total` + rate + `))`, "{{op}} {{instance}}"}}},
				{Title: "Last loading took", About: "How long the last start took to load the leases into memory.", Kind: Tile, Width: 6, Unit: "s",
					Queries: []Query{{`max(dhcp4d_store_replay_seconds)`, ""}}},
			}},
			{Title: "Database", Height: 6, Panels: []Panel{
				{Title: "Standbys, and dhcp4d", Runbook: "DhcpStoreNoStandby", About: "Standbys that follow the database, as dhcp4d sees them, and the dhcp4d that use it. A commit waits for synchronous standbys only.", Kind: Lines, Width: 6, Unit: "short",
					Queries: []Query{
						{`sum by (instance, mode) (dhcp4d_store_standbys) > 0`, "{{mode}} standbys for {{instance}}"},
						{`dhcp4d_store_processes > 0`, "dhcp4d for {{instance}}"},
					}},
				{Title: "Conflicts", Runbook: "DhcpDropsOwnFault", About: "Leases that the database did not take, because a client of another dhcp4d has the address.", Kind: Lines, Width: 6, Unit: "ops",
					Queries: []Query{{`rate(dhcp4d_store_records_refused_total` + rate + `)`, "{{instance}}"}}},
				{Title: "Behind the others", Runbook: "DhcpStoreBehind", About: "Time since the changes of the other dhcp4d were read: about a tenth of a second.", Kind: Lines, Width: 6, Unit: "s",
					Queries: []Query{{`dhcp4d_store_foreign_age_seconds`, "{{instance}}"}}},
				{Title: "Unknown outcomes", Runbook: "DhcpStoreConnectionBreaks", About: "Commits whose answer was lost with the connection, within five minutes. dhcp4d has asked for the outcome of each.", Kind: Lines, Width: 6, Unit: "short",
					Queries: []Query{{`increase(dhcp4d_store_unknown_outcomes_total[5m])`, "{{instance}}"}}},
			}},
		}}
}

func hooks() Dashboard {
	// One panel shows the hooks of both daemons.
	both := func(expr func(daemon string) string) []Query {
		return []Query{
			{expr("dhcp6d"), "{{hook}} at {{point}}"},
			{expr("dhcp4d"), "{{hook}} at {{point}}"},
		}
	}
	quantile := func(q string) []Query {
		return both(func(d string) string {
			return quantile(q, "point, hook", d+"_hook_duration_seconds", "")
		})
	}
	return Dashboard{Name: "hooks", Title: "DHCPv4 over DHCPv6: hooks", Rows: []Row{
		{Height: 8, Panels: []Panel{
			{Title: "Median time", About: "Hooks run in line: this is added to every packet that passes the point.", Kind: Lines, Width: 12, Unit: "s", Queries: quantile("0.5")},
			{Title: "99th percentile", About: "One run of a hook in a hundred takes longer. All packets behind it wait.", Kind: Lines, Width: 12, Unit: "s", Queries: quantile("0.99")},
		}},
		{Height: 7, Panels: []Panel{
			{Title: "Time of dhcp6d's hooks", About: "Every run of every hook, by its time.", Kind: Heat, Width: 12, Unit: "s",
				Queries: []Query{{heat(`dhcp6d_hook_duration_seconds`, ""), "{{le}}"}}},
			{Title: "Time of dhcp4d's hooks", About: "Every run of every hook, by its time.", Kind: Heat, Width: 12, Unit: "s",
				Queries: []Query{{heat(`dhcp4d_hook_duration_seconds`, ""), "{{le}}"}}},
		}},
		{Height: 7, Panels: []Panel{
			{Title: "Share of a core", About: "What all runs of a hook together cost.", Kind: Lines, Width: 6, Unit: "percentunit",
				Queries: both(func(d string) string {
					return `sum by (point, hook) (rate(` + d + `_hook_duration_seconds_sum` + rate + `))`
				})},
			{Title: "Verdicts", About: "continue, drop and panic.", Kind: Lines, Width: 6, Unit: "ops",
				Queries: []Query{
					{`sum by (hook, result) (rate(dhcp6d_hook_results_total` + rate + `)) > 0`, "{{hook}} {{result}}"},
					{`sum by (hook, result) (rate(dhcp4d_hook_results_total` + rate + `)) > 0`, "{{hook}} {{result}}"},
				}},
			{Title: "Rules", About: "What the operator's rules drop and count, by his reasons and counters.", Kind: Lines, Width: 6, Unit: "ops",
				Queries: []Query{
					{`sum by (reason) (rate(dhcp6d_rules_dropped_total` + rate + `))`, "dhcp6d drops {{reason}}"},
					{`sum by (counter) (rate(dhcp6d_rules_counted_total` + rate + `))`, "dhcp6d counts {{counter}}"},
					{`sum by (reason) (rate(dhcp4d_rules_dropped_total` + rate + `))`, "dhcp4d drops {{reason}}"},
					{`sum by (counter) (rate(dhcp4d_rules_counted_total` + rate + `))`, "dhcp4d counts {{counter}}"},
				}},
			{Title: "Panics and lost log lines", About: "All of them should be zero.", Kind: Lines, Width: 6, Unit: "short",
				Queries: []Query{
					{`increase(dhcp6d_panics_total[5m])`, "panics {{instance}}"},
					{`increase(dhcp4d_panics_total[5m])`, "panics {{instance}}"},
					{`increase(dhcp4d_leaselog_lost_lines_total[5m])`, "lost lines {{instance}}"},
				}},
		}},
		{Height: 7, Panels: []Panel{
			{Title: "Program outside", About: "Queries by what has decided about them, those that wait, questions without an answer in time, and what was wrong.", Kind: Lines, Width: 24, Unit: "short",
				Queries: []Query{
					{`sum by (by) (rate(dhcp4d_outside_decided_total` + rate + `))`, "by {{by}} per second"},
					{`sum by (instance) (dhcp4d_outside_parked_queries)`, "parked {{instance}}"},
					{`sum by (instance) (rate(dhcp4d_outside_timeouts_total` + rate + `))`, "timeouts per second {{instance}}"},
					{`sum by (reason) (rate(dhcp4d_outside_wrong_total` + rate + `)) > 0`, "wrong {{reason}}"},
				}},
		}},
	}}
}
