package metric

// Buckets is a set of upper bounds in seconds.
type Buckets []float64

// RequestBuckets suit waits for the network or the other daemon.
func RequestBuckets() Buckets {
	return Buckets{
		50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5,
	}
}

// HookBuckets suit work in memory.
func HookBuckets() Buckets {
	return Buckets{1e-6, 5e-6, 10e-6, 50e-6, 100e-6, 500e-6, 1e-3, 5e-3, 10e-3, 50e-3, 100e-3, 500e-3, 1}
}

// CommitBuckets suit waits for stable storage.
func CommitBuckets() Buckets {
	return Buckets{
		10e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1,
	}
}
