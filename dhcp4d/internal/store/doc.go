// Package store keeps bindings on stable storage.
package store
