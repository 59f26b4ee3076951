package netns

// TransmitChecksums asks for an offload (ETHTOOL_GTXCSUM).
func TransmitChecksums(name string) (uint32, error) { return ethtool(name, 0x16) }
