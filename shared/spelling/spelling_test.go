package spelling

import "testing"

func TestNearest(t *testing.T) {
	known := []string{"lease-time", "renewal-time", "pools", "pool"}
	for _, tt := range []struct {
		name, meant string
		most        int
		want        string
	}{
		{"the name itself", "pools", 0, "pools"},
		{"an octet too much", "poools", 2, "pools"},
		{"an octet too few", "lese-time", 2, "lease-time"},
		{"another octet", "lease_time", 2, "lease-time"},
		{"the first of two that are as near", "poolt", 2, "pools"},
		{"as far as it may be", "renewtime", 3, "renewal-time"},
		{"farther than that", "renewtime", 2, ""},
		{"much longer", "pools-of-addresses", 2, ""},
		{"nothing", "", 2, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Nearest(tt.meant, known, tt.most); got != tt.want {
				t.Errorf("Nearest(%q) is %q, want %q", tt.meant, got, tt.want)
			}
		})
	}
}
