//go:build !budget

// Package budget counts the work that a datagram makes, for tests that hold it to a multiple of the
// datagram's length.
//
// Every loop over octets that came from outside calls [Spend] with the steps that it makes and the
// octets that it reads or copies. In the product Spend is empty, and the compiler leaves nothing of
// it. With the build tag budget it counts:
//
//	go test -tags budget -run Budget ./shared/...
package budget

// Spend notes n units of work. A unit is one step of a loop, or one octet that is read or copied.
func Spend(int) {}
