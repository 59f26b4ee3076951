package expression

func (c *compiler) field(f field) octets {
	switch f {
	case pktInterface, pktSource:
		return ofWay(f == pktSource)
	case pktDestination:
		return func(e *Evaluator) []byte { return e.address(e.query.Local) }
	case pktLength:
		if !c.names.V6 {
			return ofMessage(func(e *Evaluator) []byte { return e.number(uint32(len(e.query.Message.Bytes()))) })
		}
		return ofPath(func(e *Evaluator) []byte { return e.number(uint32(len(e.query.Path.Packet.Bytes()))) })
	case pktOctets:
		return func(e *Evaluator) []byte { return e.query.Octets }
	case leaseEvent, leaseAddress, leaseSubnet, leaseHardware, leaseInterface:
		return ofLease(f)
	case pkt6Type:
		return ofPath(func(e *Evaluator) []byte { return e.number(uint32(e.query.Path.Packet.Message().Type())) })
	case pkt6Xid:
		return ofPath(func(e *Evaluator) []byte {
			xid := e.query.Path.Packet.Message().TransactionID()
			return e.number(uint32(xid[0])<<16 | uint32(xid[1])<<8 | uint32(xid[2]))
		})
	case pkt6Client:
		return ofPath(func(e *Evaluator) []byte { return e.address(e.query.Path.Client()) })
	case pkt6Link:
		return ofPath(func(e *Evaluator) []byte { return e.address(e.query.Path.Link()) })
	case pkt6Relays:
		return ofPath(func(e *Evaluator) []byte { return e.number(uint32(e.query.Path.Believed)) })
	case pkt6Server:
		return ofPath(func(e *Evaluator) []byte { return e.text(e.query.Path.Server) })
	case pkt4Hardware:
		return ofMessage(func(e *Evaluator) []byte { return e.query.Message.CHAddr() })
	case pkt4HLen:
		return ofMessage(func(e *Evaluator) []byte { return e.number(uint32(e.query.Message.HLen())) })
	case pkt4HType:
		return ofMessage(func(e *Evaluator) []byte { return e.number(uint32(e.query.Message.HType())) })
	case pkt4CIAddr:
		return ofMessage(func(e *Evaluator) []byte { return e.address(e.query.Message.CIAddr()) })
	case pkt4GIAddr:
		return ofMessage(func(e *Evaluator) []byte { return e.address(e.query.Message.GIAddr()) })
	case pkt4YIAddr:
		return ofMessage(func(e *Evaluator) []byte { return e.address(e.query.Message.YIAddr()) })
	case pkt4SIAddr:
		return ofMessage(func(e *Evaluator) []byte { return e.address(e.query.Message.SIAddr()) })
	case pkt4Type:
		return ofMessage(func(e *Evaluator) []byte { return e.number(uint32(e.query.Message.Type())) })
	}
	return ofMessage(func(e *Evaluator) []byte { return e.number(uint32(e.query.Message.Xid())) }) // pkt4Xid
}

// ofWay compiles a field that is known before the datagram is parsed.
func ofWay(source bool) octets {
	return func(e *Evaluator) []byte {
		switch p := e.query.Path; {
		case p == nil:
			return nil
		case source:
			return e.address(p.Source)
		default:
			return p.Interface
		}
	}
}

// ofLease compiles a field of a change of a lease. Elsewhere it is empty.
func ofLease(f field) octets {
	return func(e *Evaluator) []byte {
		l := e.query.Lease
		if l == nil {
			return nil
		}
		switch f {
		case leaseEvent:
			return e.text(l.Event)
		case leaseAddress:
			return e.address(l.Address)
		case leaseSubnet:
			return e.number(l.Subnet)
		case leaseHardware:
			return l.HWAddr
		}
		return e.text(l.Interface)
	}
}

// ofPath and ofMessage compile fields that are empty if there is no path or no message.
func ofPath(value octets) octets {
	return func(e *Evaluator) []byte {
		if e.query.Path == nil || e.query.Path.Packet == nil {
			return nil
		}
		return value(e)
	}
}

func ofMessage(value octets) octets {
	return func(e *Evaluator) []byte {
		if e.query.Message == nil {
			return nil
		}
		return value(e)
	}
}
