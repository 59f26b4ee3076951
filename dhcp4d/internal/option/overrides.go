package option

// Overrides are options of one reply that hooks have set. They come before all others, and are sent
// whether or not the client asks for them. The zero value has none; its memory is used again.
type Overrides struct {
	codes Codes
	list  []override
	data  []byte
}

type override struct {
	code       byte
	start, end int // in data
}

// Reset forgets all options.
func (o *Overrides) Reset() { o.codes, o.list, o.data = Codes{}, o.list[:0], o.data[:0] }

// Empty reports whether no option is set.
func (o *Overrides) Empty() bool { return o.codes.Empty() }

// Set sets an option to a copy of value. An empty value leaves the option out of the reply.
func (o *Overrides) Set(code byte, value []byte) {
	start := len(o.data)
	o.data = append(o.data, value...)
	if o.codes.Has(code) {
		for i := range o.list {
			if o.list[i].code == code {
				o.list[i].start, o.list[i].end = start, len(o.data)
			}
		}
		return
	}
	o.codes.Add(code)
	o.list = append(o.list, override{code, start, len(o.data)})
}

// Lookup returns the value of an option that is set.
func (o *Overrides) Lookup(code byte) ([]byte, bool) {
	if o == nil || !o.codes.Has(code) {
		return nil, false
	}
	for i := range o.list {
		if at := &o.list[i]; at.code == code {
			return o.data[at.start:at.end:at.end], true
		}
	}
	return nil, false
}
