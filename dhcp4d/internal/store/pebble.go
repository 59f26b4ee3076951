package store

import "errors"

func openPebble(dir string, o Options) (Store, error) { return nil, errors.ErrUnsupported }
