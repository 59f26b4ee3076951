package dhcp6

// Overrides are options of one message that take the place of those it would have. The zero value
// has none; its memory is used again.
type Overrides struct {
	list []override
	data []byte
}

type override struct {
	code       Code
	start, end int // in data
}

// Reset forgets all options.
func (o *Overrides) Reset() { o.list, o.data = o.list[:0], o.data[:0] }

// Empty reports whether no option is set. A nil Overrides is empty.
func (o *Overrides) Empty() bool { return o == nil || len(o.list) == 0 }

// Has reports whether the option of a code is set.
func (o *Overrides) Has(code Code) bool {
	if o != nil {
		for i := range o.list {
			if o.list[i].code == code {
				return true
			}
		}
	}
	return false
}

// Set sets an option to a copy of value. An empty value leaves the option out of the message.
func (o *Overrides) Set(code Code, value []byte) {
	start := len(o.data)
	o.data = append(o.data, value...)
	for i := range o.list {
		if o.list[i].code == code {
			o.list[i].start, o.list[i].end = start, len(o.data)
			return
		}
	}
	o.list = append(o.list, override{code, start, len(o.data)})
}

// Append appends the options that are not to be left out.
func (o *Overrides) Append(dst []byte) []byte {
	if o == nil {
		return dst
	}
	for i := range o.list {
		if at := &o.list[i]; at.end > at.start {
			dst = AppendOption(dst, at.code, o.data[at.start:at.end])
		}
	}
	return dst
}
