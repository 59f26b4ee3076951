package config

import (
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/config/configtest"
)

func TestVariablesAreDocumented(t *testing.T) {
	c, _ := Load(nil) // required variables are missing, but the table of variables is complete
	configtest.Document(t, "../../../docs/configuration.md", "dhcp4d", c.Variables(), *update)
}
