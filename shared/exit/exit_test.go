package exit

import (
	"errors"
	"fmt"
	"testing"
)

func TestCode(t *testing.T) {
	plain := errors.New("it is so")
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {plain, 1}, {NotFound(plain), 3}, {CannotAsk(plain), 4},
		{fmt.Errorf("asking: %w", CannotAsk(plain)), 4}, {errors.Join(plain, NotFound(plain)), 3},
	} {
		if got := Code(c.err); got != c.want {
			t.Errorf("%v: status %d, want %d", c.err, got, c.want)
		}
	}
	if err := NotFound(plain); !errors.Is(err, plain) || err.Error() != plain.Error() {
		t.Errorf("%v is not the error that was marked", err)
	}
}
