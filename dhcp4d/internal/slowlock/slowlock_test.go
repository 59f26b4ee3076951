package slowlock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/slowlock"
)

func TestOneHolderAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l slowlock.Lock
		holders := 0
		begin := time.Now()
		for range 10 {
			go func() {
				l.Lock()
				defer l.Unlock()
				if holders++; holders > 1 {
					t.Errorf("%d holders", holders)
				}
				time.Sleep(time.Second) // the others wait, and the clock goes on
				holders--
			}()
		}
		synctest.Wait()
		if l.TryLock() {
			t.Error("the lock is taken twice")
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if !l.TryLock() || time.Since(begin) != 10*time.Second {
			t.Errorf("not free after %v", time.Since(begin))
		}
		l.Unlock()
	})
}
