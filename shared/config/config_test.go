package config_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/config/configtest"
)

type section struct {
	Depth int `env:"DEPTH" envDefault:"3" desc:"depth"`
}

type variables struct {
	Name   string         `env:"NAME,required" desc:"name of the thing"`
	Relays []netip.Prefix `env:"RELAYS" desc:"relays"`
	Words  []string       `env:"WORDS" envDefault:"a, b" desc:"words | more"`
	Wait   time.Duration  `env:"WAIT" envDefault:"1h" desc:"how long" reload:"true"`
	Key    string         `env:"KEY" kind:"base64" desc:"key" secret:"true"`
	Only   []string       `env:"ONLY" desc:"nobody else" open:"true"`
	Number uint16         `env:"NUMBER" envDefault:"7" desc:"number"`
	Secret uint16         `env:"SECRET_NUMBER" desc:"number" secret:"true"`
	Listen config.Listen  `env:"LISTEN" desc:"where"`
	Peer   netip.AddrPort `env:"PEER" desc:"peer"`
	Nested section        `envPrefix:"POND_"`
}

func load(environ ...string) (variables, *config.Loader, error) {
	l := config.New("X_", environ)
	var v variables
	l.Parse(&v)
	return v, l, l.Err()
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "value")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestValues(t *testing.T) {
	v, _, err := load(
		"X_NAME=", "OTHER=1", "X_NAME=n", "X_WAIT=", "X_RELAYS_FILE="+file(t, "2001:db8::/32 ,\n\n 2001:db8:1::/48\n"),
		"X_KEY_FILE="+file(t, "secret \r\n"), "X_POND_DEPTH=9", "X_LISTEN=:80",
	)
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.Prefix{netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2001:db8:1::/48")}
	switch {
	case v.Name != "n":
		t.Errorf("of two entries the last counts: %q", v.Name)
	case !slices.Equal(v.Relays, want):
		t.Errorf("list from a file: %v", v.Relays)
	case !slices.Equal(v.Words, []string{"a", "b"}):
		t.Errorf("default list: %q", v.Words)
	case v.Wait != time.Hour:
		t.Errorf("empty means unset: %v", v.Wait)
	case v.Key != "secret ":
		t.Errorf("only the line end is cut off a file: %q", v.Key)
	case v.Nested.Depth != 9 || v.Number != 7 || v.Listen != ":80":
		t.Errorf("values: %+v", v)
	}
}

func TestMistakes(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	empty, blank := file(t, ""), file(t, " \n\t\r\n")
	tests := []struct {
		name    string
		environ []string
		want    []string // a line for each, in order
	}{
		{"required", nil, []string{"X_NAME: not set; give text: name of the thing"}},
		{"value of a wrong type", []string{"X_NAME=n", "X_NUMBER=70000"}, []string{`X_NUMBER: "70000": value out of range; give a number`}},
		{"element of a list", []string{"X_NAME=n", "X_RELAYS=::/0,x"}, []string{`X_RELAYS: "x": no '/'; give list of prefix`}},
		{"an address for a prefix", []string{"X_NAME=n", "X_RELAYS=::/0,192.0.2.1"}, []string{"X_RELAYS: 192.0.2.1 is an address and no prefix; write 192.0.2.1/32 for it alone"}},
		{"address and port", []string{"X_NAME=n", "X_PEER=host"}, []string{`X_PEER: "host": not an ip:port; give address:port`}},
		{"secrets are not repeated", []string{"X_NAME=n", "X_SECRET_NUMBER=hunter2"}, []string{"X_SECRET_NUMBER: not usable (the value is secret and not shown); give a number"}},
		{"variable and file", []string{"X_NAME=n", "X_NAME_FILE=/f"}, []string{"X_NAME: given twice, by X_NAME and by X_NAME_FILE; leave one of them unset"}},
		{"empty file for a secret", []string{"X_NAME=n", "X_KEY_FILE=" + empty}, []string{"X_KEY_FILE: " + empty + " is empty; write base64 into it, or unset X_KEY_FILE to have none"}},
		{"file of line ends for a secret", []string{"X_NAME=n", "X_KEY_FILE=" + blank}, []string{"X_KEY_FILE: " + blank + " is empty; write base64 into it, or unset X_KEY_FILE to have none"}},
		{"blanks for a secret", []string{"X_NAME=n", "X_KEY= "}, []string{"X_KEY: holds nothing but blanks; give base64, or unset it"}},
		{"empty file where no value lets more in", []string{"X_NAME=n", "X_ONLY_FILE=" + blank}, []string{"X_ONLY_FILE: " + blank + " is empty; write list of text into it, or unset X_ONLY_FILE to have none"}},
		{"no value for a secret", []string{"X_NAME=n", "X_KEY=", "X_ONLY="}, nil},
		{"empty file for another variable", []string{"X_NAME=n", "X_WORDS_FILE=" + empty}, nil},
		{"file that is not there", []string{"X_NAME_FILE=" + missing}, []string{"X_NAME_FILE: open " + missing + ": no such file or directory; name a file that holds the value of X_NAME"}},
		{"listen address", []string{"X_NAME=n", "X_LISTEN=host"}, []string{`X_LISTEN: "host" is no listen address; give [address]:port`}},
		{"listen port", []string{"X_NAME=n", "X_LISTEN=host:99999"}, []string{`X_LISTEN: "host:99999" has no port from 0 to 65535; give [address]:port`}},
		{"unknown", []string{"X_NAME=n", "X_FROBNICATE=1"}, []string{"X_FROBNICATE: unknown variable; remove it, -h lists all variables"}},
		{"misspelt", []string{"X_NAME=n", "X_RELAY=::/0"}, []string{"X_RELAY: unknown variable; did you mean X_RELAYS?"}},
		{"misspelt file", []string{"X_NAME=n", "X_RELAY_FILE=f"}, []string{"X_RELAY_FILE: unknown variable; did you mean X_RELAYS_FILE?"}},
		{"set by Kubernetes for a Service of our name", []string{"X_NAME=n", "X_PORT=udp://1", "X_PORT_547_UDP_ADDR=1", "X_SERVICE_HOST=1", "X_SERVICE_PORT=2", "X_SERVICE_PORT_DHCP=3"}, nil},
		{"unknown and empty", []string{"X_NAME=n", "X_FROBNICATE="}, nil},
		{"all at once", []string{"X_NUMBER=x", "X_WAIT=x", "X_ZZZZZZ=1"}, []string{
			"X_NAME: not set; give text: name of the thing",
			`X_WAIT: invalid duration "x"; give a duration such as 90s or 1h`,
			`X_NUMBER: "x": invalid syntax; give a number`,
			"X_ZZZZZZ: unknown variable; remove it, -h lists all variables",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := load(tt.environ...)
			var mistakes config.Mistakes
			if err != nil && !errors.As(err, &mistakes) {
				t.Fatalf("error is a %T", err)
			}
			var got []string
			for _, m := range mistakes {
				got = append(got, m.Error())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("mistakes\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(tt.want, "\n\t"))
			}
		})
	}
}

func TestTables(t *testing.T) {
	path := file(t, "hunter2")
	_, l, err := load("X_NAME=it's n", "X_KEY_FILE="+path)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		write func(*strings.Builder) error
		parts []string
	}{
		{"effective", func(b *strings.Builder) error { return config.WriteEffective(b, l.Variables()) }, []string{
			`X_NAME='it'\''s n' # environment` + "\n", "# X_RELAYS is unset\n", "X_WAIT=1h # default\n", "X_KEY='(hidden)' # " + path + "\n", "X_POND_DEPTH=3 # default\n",
		}},
		{"help", func(b *strings.Builder) error { return config.WriteHelp(b, l.Variables()) }, []string{
			"  X_NAME\n      name of the thing\n      text, required\n", "a duration such as 90s or 1h, default 1h, reloadable\n", "base64, unset by default, secret\n",
		}},
		{"markdown", func(b *strings.Builder) error { b.WriteString(configtest.Markdown(l.Variables())); return nil }, []string{
			"| `X_NAME` | text | required | no | name of the thing |\n", "| `X_WORDS` | list of text | `a, b` | no | words \\| more |\n", "| `X_RELAYS` | list of prefix | – | no | relays |\n",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			if err := tt.write(&b); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(b.String(), "hunter2") {
				t.Error("a secret is printed")
			}
			for _, part := range tt.parts {
				if !strings.Contains(b.String(), part) {
					t.Errorf("%q is missing in\n%s", part, b.String())
				}
			}
		})
	}
}

func TestMistakeOfTheDaemonsOwn(t *testing.T) {
	l := config.New("X_", []string{"X_NAME=n"})
	var v variables
	l.Parse(&v)
	l.Mistake("NAME", "too short", "")
	if err := l.Err(); err == nil || err.Error() != "configuration: X_NAME: too short" {
		t.Errorf("error %v", err)
	}
	if got := l.Variable("NAME"); got.Value != "n" || got.Source != "X_NAME" {
		t.Errorf("variable %+v", got)
	}
}
