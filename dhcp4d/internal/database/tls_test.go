package database_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/database"
	"github.com/dhcp4o6/dhcp4o6/shared/postgrestest"
)

// TestDB_6_TLSAndThePasswordFile connects as docs/database.md says, and with each part wrong.
func TestDB_6_TLSAndThePasswordFile(t *testing.T) {
	host, other := loopback(), loopback()
	s := postgrestest.Start(t, "listen_addresses="+host+","+other)
	dir := t.TempDir()
	authority := make509(t, filepath.Join(dir, "ca"), "", nil)
	server := make509(t, filepath.Join(s.Dir(), "server"), host, authority)
	make509(t, filepath.Join(dir, "stranger"), "", nil)
	s.Query(t, "CREATE ROLE someone LOGIN PASSWORD 'sesame'")
	for _, set := range []string{"ssl = on", "ssl_cert_file = '" + server.name + ".crt'", "ssl_key_file = '" + server.name + ".key'"} {
		s.Query(t, "ALTER SYSTEM SET "+set)
	}
	hba := "local all all trust\nhostssl all all all scram-sha-256\n"
	if err := os.WriteFile(filepath.Join(s.Dir(), "data", "pg_hba.conf"), []byte(hba), 0); err != nil {
		t.Fatal(err)
	}
	s.Kill(t)
	s.Restart(t)
	for name, password := range map[string]string{"right": "sesame", "wrong": "secret"} {
		line := fmt.Sprintf("*:*:postgres:someone:%s\n", password)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, host, mode, authority, password, want string }{
		{"as it should be", host, "verify-full", "ca", "right", ""},
		{"a certificate of another authority", host, "verify-full", "stranger", "right", "unknown authority"},
		{"a certificate of another host", other, "verify-full", "ca", "right", "certificate is valid for " + host},
		{"no TLS", host, "disable", "ca", "right", "no encryption"},
		{"a wrong password", host, "verify-full", "ca", "wrong", "password authentication failed"},
		{"no password file", host, "verify-full", "ca", "nowhere", "the file that passfile= names"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, err := database.Parse(fmt.Sprintf("postgres://someone@%s/postgres?sslmode=%s&sslrootcert=%s.crt&passfile=%s",
				c.host, c.mode, filepath.Join(dir, c.authority), filepath.Join(dir, c.password)))
			if err == nil {
				conn, connecting := database.Connect(t.Context(), config)
				if err = connecting; err == nil {
					end(t, conn)
				}
			}
			if (fmt.Sprint(err) != "<nil>" && c.want == "") || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("the error is %v, want %q", err, c.want)
			}
		})
	}
}

// loopback returns an address of the loopback that other servers do not use.
func loopback() string {
	return fmt.Sprintf("127.%d.%d.%d", 100+mathrand.IntN(100), mathrand.IntN(256), 1+mathrand.IntN(200))
}

// certified is a certificate with its key, in the files name.crt and name.key.
type certified struct {
	name string
	*x509.Certificate
	key *ecdsa.PrivateKey
}

// make509 makes a certificate for an address, or for an authority that signs itself.
func make509(t *testing.T, name, address string, by *certified) *certified {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &certified{name, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: filepath.Base(name)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: by == nil,
	}, key}
	if by == nil {
		by = c
	} else {
		c.IPAddresses = []net.IP{net.ParseIP(address)}
	}
	certificate, err := x509.CreateCertificate(rand.Reader, c.Certificate, by.Certificate, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		end, kind string
		octets    []byte
	}{{".crt", "CERTIFICATE", certificate}, {".key", "EC PRIVATE KEY", private}} {
		file := name + f.end
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.octets}), 0o600); err != nil {
			t.Fatal(err)
		}
		// The server must own its key, and owns its directory.
		info, err := os.Stat(filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		if of := info.Sys().(*syscall.Stat_t); os.Chown(file, int(of.Uid), int(of.Gid)) != nil {
			t.Fatal("giving a file to the server's user")
		}
	}
	return c
}
