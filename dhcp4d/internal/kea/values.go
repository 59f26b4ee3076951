package kea

import "strconv"

// items returns the elements of a list, none if the value is no list.
func items(v *value) []*value {
	if v == nil || v.kind != list {
		return nil
	}
	return v.values
}

// isTrue reports whether a value is true. It is not if there is none.
func isTrue(v *value) bool { return v != nil && v.kind == boolean && v.text == "true" }

// content returns the text of a scalar. It is empty if there is none.
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

// pick returns the value of a key, from the first of several objects that has it.
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
