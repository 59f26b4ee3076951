package listen

import (
	"strings"
	"testing"
)

func TestPatterns(t *testing.T) {
	for _, tc := range []struct {
		name     string
		list     []string
		takes    []string
		refuses  []string
		loopback bool // whether lo is taken
	}{
		{"names", []string{"eth0", "eth1"}, []string{"eth0", "eth1"}, []string{"eth", "eth00", "eth2"}, false},
		{"pattern", []string{"eth*"}, []string{"eth0", "eth", "eth0.5"}, []string{"veth0", "lo"}, false},
		{"one character and a class", []string{"eth?", "vlan[0-9]"}, []string{"eth1", "vlan7"}, []string{"eth10", "vlanx"}, false},
		{"all but", []string{"*", "!eth0", "!docker*"}, []string{"eth1", "br0"}, []string{"eth0", "docker0"}, false},
		{"an exception counts wherever it stands", []string{"!eth0", "eth*"}, []string{"eth1"}, []string{"eth0"}, false},
		{"an exception beats a name", []string{"eth0", "eth1", "!eth0"}, []string{"eth1"}, []string{"eth0"}, false},
		{"loopback only by name", []string{"lo"}, []string{"lo"}, nil, true},
		{"loopback not by pattern", []string{"*", "l*"}, []string{"lan"}, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ps, err := ParsePatterns(tc.list)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range tc.takes {
				if n != "lo" && !ps.Match(false, n) {
					t.Errorf("%s is not taken", n)
				}
			}
			for _, n := range tc.refuses {
				if ps.Match(n == "lo", n) {
					t.Errorf("%s is taken", n)
				}
			}
			if got := ps.Match(true, "lo"); got != tc.loopback {
				t.Errorf("loopback taken: %v, want %v", got, tc.loopback)
			}
		})
	}
}

func TestPatternMistakes(t *testing.T) {
	_, err := ParsePatterns([]string{"eth[", "!", "", "a/b", strings.Repeat("a", 128), "eth 0"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, s := range []string{`"eth["`, `"!"`, `""`, `"a/b"`, strings.Repeat("a", 128), `"eth 0"`} {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%s is not among the mistakes:\n%v", s, err)
		}
	}
	for _, list := range [][]string{nil, {"!eth0"}} {
		if _, err := ParsePatterns(list); err == nil || !strings.Contains(err.Error(), "no interface to serve") {
			t.Errorf("%q: %v", list, err)
		}
	}
}
