package ipc_test

import (
	"encoding/binary"

	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// The slow and obvious twin of AppendQuery and Strip: decode all into a tree,
// change the tree, encode all. It takes only well-formed datagrams.

type node struct {
	header  []byte // of the message or relay level
	options []entry
}

type entry struct {
	code  uint16
	data  []byte
	inner *node // of a Relay Message
}

func decode(b []byte) *node {
	n := &node{header: b[:4]}
	relay := b[0] == 12 || b[0] == 13
	if relay {
		n.header = b[:34]
	}
	n.options = decodeOptions(b[len(n.header):])
	for i := range n.options {
		if o := &n.options[i]; relay && o.code == 9 {
			o.inner = decode(o.data)
		}
	}
	return n
}

// decodeOptions leaves out an option that runs past the end. Among the options of a message there
// is none, because they have been parsed; among suboptions there may be.
func decodeOptions(b []byte) []entry {
	var es []entry
	for len(b) >= 4 {
		n := 4 + int(binary.BigEndian.Uint16(b[2:]))
		if n > len(b) {
			break
		}
		es = append(es, entry{code: binary.BigEndian.Uint16(b), data: b[4:n]})
		b = b[n:]
	}
	return es
}

func (n *node) encode() []byte {
	b := append([]byte(nil), n.header...)
	for i := range n.options {
		if o := &n.options[i]; o.inner != nil {
			o.data = o.inner.encode()
		}
	}
	return append(b, encodeOptions(n.options)...)
}

func encodeOptions(es []entry) []byte {
	var b []byte
	for _, e := range es {
		b = binary.BigEndian.AppendUint16(b, e.code)
		b = binary.BigEndian.AppendUint16(b, uint16(len(e.data)))
		b = append(b, e.data...)
	}
	return b
}

func (n *node) innermost() *node {
	for _, o := range n.options {
		if o.inner != nil {
			return o.inner.innermost()
		}
	}
	return n
}

func (e entry) isc() bool {
	return e.code == 17 && len(e.data) >= 4 && binary.BigEndian.Uint32(e.data) == 2495
}

// withoutContext is the ISC option without the context's suboptions.
func (e entry) withoutContext() (_ entry, found bool) {
	var kept []entry
	for _, s := range decodeOptions(e.data[4:]) {
		if (s.code >= 60000 && s.code <= 60003) || s.code == 60016 || s.code == 60017 {
			found = true
			continue
		}
		kept = append(kept, s)
	}
	e.data = append([]byte{0, 0, 0x09, 0xbf}, encodeOptions(kept)...)
	return e, found
}

func contextEntries(c ipc.Context) []entry {
	source := c.Source.Addr().As16()
	es := []entry{
		{code: 60000, data: c.Interface},
		{code: 60001, data: source[:]},
		{code: 60002, data: binary.BigEndian.AppendUint16(nil, c.Source.Port())},
	}
	if c.Local.IsValid() {
		local := c.Local.As16()
		es = append(es, entry{code: 60003, data: local[:]})
	}
	if c.Unbelieved > 0 {
		es = append(es, entry{code: 60016, data: []byte{c.Unbelieved}})
	}
	if len(c.Beside) > 0 {
		es = append(es, entry{code: 60017, data: c.Beside})
	}
	return es
}

// insert puts entries before the first one whose code is higher.
func insert(es []entry, code uint16, more ...entry) []entry {
	var out []entry
	done := false
	for _, e := range es {
		if e.code > code && !done {
			out, done = append(out, more...), true
		}
		out = append(out, e)
	}
	if !done {
		out = append(out, more...)
	}
	return out
}

func twinAppendQuery(b []byte, c ipc.Context) []byte {
	tree := decode(b)
	m := tree.innermost()
	merged := false
	for i := range m.options {
		o := &m.options[i]
		if !o.isc() {
			continue
		}
		*o, _ = o.withoutContext()
		if !merged {
			subs := insert(decodeOptions(o.data[4:]), 60003, contextEntries(c)...)
			o.data = append([]byte{0, 0, 0x09, 0xbf}, encodeOptions(subs)...)
			merged = true
		}
	}
	if !merged {
		m.options = insert(m.options, 17, entry{code: 17, data: append([]byte{0, 0, 0x09, 0xbf}, encodeOptions(contextEntries(c))...)})
	}
	return tree.encode()
}

// twinStrip also removes an option 17 that held nothing but the context.
func twinStrip(b []byte, zeroFlags bool) []byte {
	tree := decode(b)
	m := tree.innermost()
	var kept []entry
	for _, o := range m.options {
		if o.isc() {
			var found bool
			if o, found = o.withoutContext(); found && len(o.data) == 4 {
				continue
			}
		}
		kept = append(kept, o)
	}
	m.options = kept
	if zeroFlags {
		m.header = []byte{m.header[0], 0, 0, 0}
	}
	return tree.encode()
}
