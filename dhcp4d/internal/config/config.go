// Package config turns the environment and the subnets document into values
// that nothing has to check again.
//
// Every mistake is reported, not only the first, with the variable or with
// line, column and path inside the document, saying what to do. The compiled
// values are immutable: a packet takes one *Subnets at its start and uses it
// to its end, a reload makes a new one. Nothing here touches the network; the
// only files read are those that variables name.
package config
