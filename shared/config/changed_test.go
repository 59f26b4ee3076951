package config_test

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

func TestAReloadThatCanChangeNothingIsWarnedOf(t *testing.T) {
	for name, tt := range map[string]struct {
		v    config.Variable
		want bool
	}{
		"a default":                    {config.Variable{Name: "X_A", Reload: true}, true},
		"from the environment":         {config.Variable{Name: "X_A", Reload: true, Source: "X_A"}, true},
		"from a file":                  {config.Variable{Name: "X_A", Reload: true, Source: "/etc/a"}, false},
		"from a file, and it is fixed": {config.Variable{Name: "X_A", Source: "/etc/a"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			config.WarnNoFiles(slog.New(slog.NewTextHandler(&out, nil)), []config.Variable{tt.v})
			if got := out.Len() > 0; got != tt.want {
				t.Errorf("warned: %v %s", got, out.String())
			}
		})
	}
}
