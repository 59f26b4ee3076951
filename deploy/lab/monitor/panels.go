package monitor

// Dashboards are all that we ship, made for 1366 columns of pixels: no row has
// more than four pictures, and what matters at three in the morning is on the
// first screen of the first page.
func Dashboards() []Dashboard { return []Dashboard{overview(), leases(), hooks()} }

const rate = "[$__rate_interval]"

func overview() Dashboard {
	return Dashboard{Name: "overview", Title: "DHCPv4 over DHCPv6: overview", Rows: []Row{
		{Height: 4, Panels: []Panel{
			{Title: "Ready", About: "Daemons that are ready, of those that Prometheus knows.", Kind: Tile, Width: 4, Unit: "percentunit", Below: []float64{1, 0.5},
				Queries: []Query{{`(sum(dhcp6d_ready or dhcp4d_ready) or vector(0)) / count(up{job=~"dhcp[46]d"})`, ""}}},
			{Title: "Backends in", About: "Backends that answer, of those configured.", Kind: Tile, Width: 4, Unit: "percentunit", Below: []float64{1, 0.5},
				Queries: []Query{{`sum(dhcp6d_ipc_backend_up) / count(dhcp6d_ipc_backend_up)`, ""}}},
			{Title: "Answered", About: "Queries that led to an answer, or need none by rule, in the last five minutes.", Kind: Tile, Width: 4, Unit: "percentunit", Below: []float64{0.95, 0.8},
				Queries: []Query{{`dhcp4o6:answered:ratio_rate5m`, ""}}},
			{Title: "Fullest pool", About: "How full the fullest pool of any dhcp4d is.", Kind: Tile, Width: 4, Unit: "percentunit", Above: []float64{0.9, 0.98},
				Queries: []Query{{`max(job_instance_subnet_pool:dhcp4d_pool_assigned:ratio)`, ""}}},
			{Title: "Active leases", Kind: Tile, Width: 4, Unit: "short",
				Queries: []Query{{`sum(dhcp4d_leases{state="active"})`, ""}}},
			{Title: "Alerts", About: "Alerts that fire; docs/runbook.md has a section for each.", Kind: Tile, Width: 4, Unit: "none", Above: []float64{1, 3},
				Queries: []Query{{`count(ALERTS{alertstate="firing"}) or vector(0)`, ""}}},
		}},
		{Title: "The way of a query", Height: 7, Panels: []Panel{
			{Title: "Received, forwarded, answered, relayed", About: "Four lines on top of each other are a healthy service. Where two part, queries are lost between them.",
				Kind: Lines, Width: 12, Unit: "reqps", Queries: []Query{
					{`sum(rate(dhcp6d_packets_received_total{type="dhcpv4_query"}` + rate + `))`, "received by dhcp6d"},
					{`sum(rate(dhcp6d_queries_forwarded_total` + rate + `))`, "forwarded to dhcp4d"},
					{`sum(rate(dhcp4d_responses_sent_total` + rate + `)) + sum(rate(dhcp4d_queries_silent_total` + rate + `))`, "answered by dhcp4d"},
					{`sum(rate(dhcp6d_responses_relayed_total` + rate + `)) + (sum(rate(dhcp4d_queries_silent_total` + rate + `)) or vector(0))`, "relayed to clients"},
				}},
			{Title: "Drops by reason", About: "The reason says which check failed. The runbook's section DhcpDrops has the usual causes.",
				Kind: Stacked, Width: 12, Unit: "reqps", Queries: []Query{
					{`sum by (reason) (rate(dhcp6d_packets_dropped_total` + rate + `)) > 0`, "dhcp6d {{reason}}"},
					{`sum by (reason) (rate(dhcp4d_packets_dropped_total` + rate + `)) > 0`, "dhcp4d {{reason}}"},
				}},
		}},
		{Height: 7, Panels: []Panel{
			{Title: "Queries by type", Kind: Lines, Width: 8, Unit: "reqps",
				Queries: []Query{{`sum by (type) (rate(dhcp4d_queries_received_total` + rate + `)) > 0`, "{{type}}"}}},
			{Title: "Responses by type", Kind: Lines, Width: 8, Unit: "reqps",
				Queries: []Query{{`sum by (type) (rate(dhcp4d_responses_sent_total` + rate + `)) > 0`, "{{type}}"}}},
			{Title: "Queries by path", About: "How they come to dhcp6d.", Kind: Lines, Width: 8, Unit: "reqps",
				Queries: []Query{{`sum by (path, dest) (rate(dhcp6d_queries_forwarded_total` + rate + `)) > 0`, "{{path}}, {{dest}}"}}},
		}},
		{Title: "Between the daemons", Height: 7, Panels: []Panel{
			{Title: "Round trip", About: "From a query leaving dhcp6d to its answer coming back.", Kind: Heat, Width: 12, Unit: "s",
				Queries: []Query{{`sum by (le) (rate(dhcp6d_ipc_round_trip_seconds_bucket{result="response"}` + rate + `))`, "{{le}}"}}},
			{Title: "Round trip, median and 99th percentile", Kind: Lines, Width: 12, Unit: "s",
				Queries: []Query{
					{`histogram_quantile(0.5, sum by (backend, le) (rate(dhcp6d_ipc_round_trip_seconds_bucket{result="response"}` + rate + `)))`, "median {{backend}}"},
					{`histogram_quantile(0.99, sum by (backend, le) (rate(dhcp6d_ipc_round_trip_seconds_bucket{result="response"}` + rate + `)))`, "99 % {{backend}}"},
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
			{Title: "Answers missing, late or unknown", Kind: Lines, Width: 6, Unit: "reqps",
				Queries: []Query{
					{`sum by (backend) (rate(dhcp6d_ipc_timeouts_total` + rate + `))`, "no answer {{backend}}"},
					{`sum by (backend) (rate(dhcp6d_ipc_late_responses_total` + rate + `))`, "late {{backend}}"},
					{`sum by (backend) (rate(dhcp6d_ipc_unmatched_responses_total` + rate + `))`, "unknown {{backend}}"},
				}},
		}},
		{Title: "Processes", Height: 6, Panels: []Panel{
			{Title: "CPU", About: "1 is a whole core.", Kind: Lines, Width: 6, Unit: "percentunit",
				Queries: []Query{{`rate(process_cpu_seconds_total{job=~"dhcp[46]d"}` + rate + `)`, "{{instance}}"}}},
			{Title: "Memory", Kind: Lines, Width: 6, Unit: "bytes",
				Queries: []Query{{`process_resident_memory_bytes{job=~"dhcp[46]d"}`, "{{instance}}"}}},
			{Title: "Waiting in sockets", About: "Octets that the daemon has not read yet; drops by the kernel follow when the buffer is full.", Kind: Lines, Width: 6, Unit: "bytes",
				Queries: []Query{
					{`max by (instance, socket) (dhcp6d_socket_receive_queue_bytes)`, "{{instance}} {{socket}}"},
					{`max by (instance, socket) (dhcp4d_socket_receive_queue_bytes)`, "{{instance}} {{socket}}"},
				}},
			{Title: "Dropped by the kernel", Kind: Lines, Width: 6, Unit: "reqps",
				Queries: []Query{
					{`sum by (instance, socket) (rate(dhcp6d_socket_drops_total` + rate + `))`, "{{instance}} {{socket}}"},
					{`sum by (instance, socket) (rate(dhcp4d_socket_drops_total` + rate + `))`, "{{instance}} {{socket}}"},
				}},
		}},
		{Height: 5, Panels: []Panel{
			{Title: "Versions", Kind: Table, Width: 24, Unit: "none",
				Queries: []Query{{`dhcp6d_build_info or dhcp4d_build_info`, ""}},
				Columns: []Column{{"instance", "Instance", ""}, {"job", "Daemon", ""}, {"version", "Version", ""}, {"revision", "Revision", ""}, {"goversion", "Go", ""}}},
		}},
	}}
}

func leases() Dashboard {
	const chosen = `{subnet=~"$subnet"}`
	return Dashboard{Name: "leases", Title: "DHCPv4 over DHCPv6: leases",
		Variables: []Variable{{"subnet", "Subnet", "label_values(dhcp4d_pool_addresses, subnet)"}},
		Rows: []Row{
			{Height: 4, Panels: []Panel{
				{Title: "Active", About: "Leases that have not ended.", Kind: Tile, Width: 5, Unit: "short",
					Queries: []Query{{`sum(dhcp4d_leases{state="active", subnet=~"$subnet"})`, ""}}},
				{Title: "Offered", About: "Addresses held for a client that has been offered one.", Kind: Tile, Width: 5, Unit: "short",
					Queries: []Query{{`sum(dhcp4d_leases{state="offered", subnet=~"$subnet"})`, ""}}},
				{Title: "In quarantine", About: "Addresses that a client found in use by somebody else.", Kind: Tile, Width: 5, Unit: "short",
					Queries: []Query{{`sum(dhcp4d_leases{state="declined", subnet=~"$subnet"})`, ""}}},
				{Title: "Former", About: "Ended or released, and kept for the client's return.", Kind: Tile, Width: 5, Unit: "short",
					Queries: []Query{{`sum(dhcp4d_leases{state="former", subnet=~"$subnet"})`, ""}}},
				{Title: "Fullest pool", Kind: Tile, Width: 4, Unit: "percentunit", Above: []float64{0.9, 0.98},
					Queries: []Query{{`max(job_instance_subnet_pool:dhcp4d_pool_assigned:ratio` + chosen + `)`, ""}}},
			}},
			{Height: 8, Panels: []Panel{
				{Title: "Pools", About: "A pool is what one dhcp4d has to give.", Kind: Table, Width: 12, Unit: "short",
					Queries: []Query{
						{`dhcp4d_pool_addresses` + chosen + ` * on (instance, subnet) group_left (prefix) dhcp4d_subnet_info`, ""},
						{`dhcp4d_pool_addresses_assigned` + chosen + ` * on (instance, subnet) group_left (prefix) dhcp4d_subnet_info`, ""},
						{`job_instance_subnet_pool:dhcp4d_pool_assigned:ratio` + chosen + ` * on (instance, subnet) group_left (prefix) dhcp4d_subnet_info`, ""},
					},
					Columns: []Column{{"instance", "Server", ""}, {"subnet", "Subnet", ""}, {"prefix", "Prefix", ""}, {"pool", "Pool", ""},
						{"Value #A", "Addresses", "short"}, {"Value #B", "Taken", "short"}, {"Value #C", "Full", "percentunit"}}},
				{Title: "Use of the pools", Kind: Lines, Width: 12, Unit: "percentunit",
					Queries: []Query{{`job_instance_subnet_pool:dhcp4d_pool_assigned:ratio` + chosen, "{{instance}} subnet {{subnet}} pool {{pool}}"}}},
			}},
			{Height: 7, Panels: []Panel{
				{Title: "Leases by state", Kind: Stacked, Width: 12, Unit: "short",
					Queries: []Query{{`sum by (state) (dhcp4d_leases` + chosen + `)`, "{{state}}"}}},
				{Title: "Events", About: "What happened to leases, per second, in all subnets.", Kind: Lines, Width: 12, Unit: "ops",
					Queries: []Query{{`sum by (event) (rate(dhcp4d_lease_events_total` + rate + `)) > 0`, "{{event}}"}}},
			}},
			{Title: "Store", Height: 7, Panels: []Panel{
				{Title: "Commit latency", About: "Time to put one group of bindings on disk; every ACK waits for one.", Kind: Heat, Width: 12, Unit: "s",
					Queries: []Query{{`sum by (le) (rate(dhcp4d_store_commit_seconds_bucket` + rate + `))`, "{{le}}"}}},
				{Title: "Commit latency, median and 99th percentile", Kind: Lines, Width: 12, Unit: "s",
					Queries: []Query{
						{`histogram_quantile(0.5, sum by (instance, le) (rate(dhcp4d_store_commit_seconds_bucket` + rate + `)))`, "median {{instance}}"},
						{`histogram_quantile(0.99, sum by (instance, le) (rate(dhcp4d_store_commit_seconds_bucket` + rate + `)))`, "99 % {{instance}}"},
					}},
			}},
			{Height: 6, Panels: []Panel{
				{Title: "Bindings per commit", About: "How many bindings share one sync: the lever of the throughput.", Kind: Lines, Width: 6, Unit: "short",
					Queries: []Query{{`rate(dhcp4d_store_wal_records_total` + rate + `) / (rate(dhcp4d_store_commit_seconds_count` + rate + `) > 0)`, "{{instance}}"}}},
				{Title: "On disk", Kind: Lines, Width: 6, Unit: "bytes",
					Queries: []Query{
						{`dhcp4d_store_bytes`, "store {{instance}}"},
						{`dhcp4d_store_wal_bytes`, "log {{instance}}"},
					}},
				{Title: "Failures", Kind: Lines, Width: 6, Unit: "ops",
					Queries: []Query{{`sum by (instance, op) (rate(dhcp4d_store_errors_total` + rate + `))`, "{{op}} {{instance}}"}}},
				{Title: "Last loading took", Kind: Tile, Width: 6, Unit: "s",
					Queries: []Query{{`max(dhcp4d_store_replay_seconds)`, ""}}},
			}},
		}}
}

func hooks() Dashboard {
	// Both daemons' hooks in one picture.
	both := func(expr func(daemon string) string) []Query {
		return []Query{
			{expr("dhcp6d"), "{{hook}} at {{point}}"},
			{expr("dhcp4d"), "{{hook}} at {{point}}"},
		}
	}
	quantile := func(q string) []Query {
		return both(func(d string) string {
			return `histogram_quantile(` + q + `, sum by (point, hook, le) (rate(` + d + `_hook_duration_seconds_bucket` + rate + `)))`
		})
	}
	return Dashboard{Name: "hooks", Title: "DHCPv4 over DHCPv6: hooks", Rows: []Row{
		{Height: 8, Panels: []Panel{
			{Title: "Median time", About: "Hooks run in line: this is added to every packet that passes the point.", Kind: Lines, Width: 12, Unit: "s", Queries: quantile("0.5")},
			{Title: "99th percentile", Kind: Lines, Width: 12, Unit: "s", Queries: quantile("0.99")},
		}},
		{Height: 7, Panels: []Panel{
			{Title: "Time of dhcp6d's hooks", Kind: Heat, Width: 12, Unit: "s",
				Queries: []Query{{`sum by (le) (rate(dhcp6d_hook_duration_seconds_bucket` + rate + `))`, "{{le}}"}}},
			{Title: "Time of dhcp4d's hooks", Kind: Heat, Width: 12, Unit: "s",
				Queries: []Query{{`sum by (le) (rate(dhcp4d_hook_duration_seconds_bucket` + rate + `))`, "{{le}}"}}},
		}},
		{Height: 7, Panels: []Panel{
			{Title: "Share of a core", About: "What all runs of a hook together cost.", Kind: Lines, Width: 8, Unit: "percentunit",
				Queries: both(func(d string) string {
					return `sum by (point, hook) (rate(` + d + `_hook_duration_seconds_sum` + rate + `))`
				})},
			{Title: "Verdicts", About: "continue, drop and panic.", Kind: Lines, Width: 8, Unit: "ops",
				Queries: []Query{
					{`sum by (hook, result) (rate(dhcp6d_hook_results_total` + rate + `)) > 0`, "{{hook}} {{result}}"},
					{`sum by (hook, result) (rate(dhcp4d_hook_results_total` + rate + `)) > 0`, "{{hook}} {{result}}"},
				}},
			{Title: "Panics and lost log lines", About: "All of them should be zero.", Kind: Lines, Width: 8, Unit: "short",
				Queries: []Query{
					{`increase(dhcp6d_panics_total[5m])`, "panics {{instance}}"},
					{`increase(dhcp4d_panics_total[5m])`, "panics {{instance}}"},
					{`increase(dhcp4d_leaselog_lost_lines_total[5m])`, "lost lines {{instance}}"},
				}},
		}},
	}}
}
