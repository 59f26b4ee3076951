package kea

import "strconv"

// items are the elements of a list, none if there is no list.
func items(v *value) []*value {
	if v == nil || v.kind != list {
		return nil
	}
	return v.values
}

// isTrue reports whether a value is there and true.
func isTrue(v *value) bool { return v != nil && v.kind == boolean && v.text == "true" }

// content is the text of a value that is there.
func content(v *value) string {
	if v == nil || v.kind == list || v.kind == object || v.kind == null {
		return ""
	}
	return v.text
}

// number takes a whole number from a value.
func (c *converter) number(v *value) (int64, bool) {
	n, err := strconv.ParseInt(v.text, 10, 64)
	if v.kind != number || err != nil || n < 0 {
		c.left(v, "must be a whole number")
		return 0, false
	}
	return n, true
}

// pick is the value of a key in the first of several objects that has it.
func pick(key string, from ...*value) *value {
	for _, f := range from {
		if v := f.get(key); v != nil {
			return v
		}
	}
	return nil
}

// empty reports whether a value says nothing.
func empty(v *value) bool {
	return v.kind == null || (v.kind == text && v.text == "") ||
		((v.kind == list || v.kind == object) && len(v.values) == 0)
}
