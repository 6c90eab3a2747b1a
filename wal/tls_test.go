package wal_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
)

// With sslmode=verify-full every connection is encrypted, and none is made to a server that somebody else vouches for. A
// certificate is renewed under a gateway that runs.
func TestP57EveryConnectionVerifiesTheServer(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Cluster(t, map[string]string{"wal_level": "logical", "fsync": "off"})
	plain := postgres.URL("postgres")
	if pgtest.Query[string](t, plain, "select coalesce((select setting from pg_settings where name = 'ssl_library'), '')") == "" {
		t.Skip("this PostgreSQL was built without TLS")
	}
	pgtest.Exec(t, plain, orders)
	ours, theirs := newAuthority(t), newAuthority(t)
	install := func(a *authority) {
		t.Helper()
		certificate, key := a.certificate(t, "127.0.0.1")
		for file, text := range map[string]string{"server.crt": certificate, "server.key": key} {
			pgtest.Exec(t, plain, "copy (select unnest(string_to_array('"+strings.TrimSpace(text)+"', E'\\n'))) to program 'umask 077; cat > "+file+"'")
		}
		pgtest.Exec(t, plain, "alter system set ssl = on", "select pg_reload_conf()")
	}
	install(ours)
	pgtest.Exec(t, plain, "create role shop login superuser replication")
	rules := "hostssl all,replication shop 127.0.0.1/32 trust\nhost all postgres 127.0.0.1/32 trust\n"
	if err := os.WriteFile(pgtest.Query[string](t, plain, "show hba_file"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, plain, "select pg_reload_conf()")
	as := strings.Replace(plain, "postgres@", "shop@", 1)
	verified := strings.Replace(as, "sslmode=disable", "sslmode=verify-full&sslrootcert="+ours.file, 1)
	eventually(t, "the server takes the role with TLS", func() bool { return admits(t, verified) })
	eventually(t, "and not without", func() bool { return !admits(t, as) })

	g := start(t, verified)
	const sessions = "select count(*) from pg_stat_activity join pg_stat_ssl using (pid) where usename = 'shop' and "
	if open := pgtest.Query[int](t, plain, sessions+"not ssl"); open != 0 {
		t.Errorf("%d connections are not encrypted", open)
	}
	if walsenders := pgtest.Query[int](t, plain, sessions+"ssl and backend_type = 'walsender'"); walsenders != 1 {
		t.Errorf("%d walsenders over TLS, want 1", walsenders)
	}
	pgtest.Exec(t, plain, "insert into orders values (1, 'bread')")
	g.expect(t, "insert orders 1,bread")

	cut := func() {
		t.Helper()
		pgtest.Exec(t, plain, "select pg_terminate_backend(pid, 10000) from pg_stat_activity where usename = 'shop'")
	}
	install(ours)
	cut()
	pgtest.Exec(t, plain, "insert into orders values (2, 'wine')")
	g.expect(t, "insert orders 1,bread", "insert orders 2,wine")

	install(theirs)
	eventually(t, "the server shows the certificate of somebody else", func() bool { return !admits(t, verified) })
	pgtest.Exec(t, plain, "insert into orders values (3, 'salt')")
	cut()
	eventually(t, "the gateway does not trust it", func() bool { return g.source.Stats().State == wal.Connecting })
	if in := pgtest.Query[int](t, plain, sessions+"true"); in != 0 {
		t.Errorf("%d connections to a server that cannot be trusted", in)
	}
	install(ours)
	g.expect(t, "insert orders 1,bread", "insert orders 2,wine", "insert orders 3,salt")
}

// authority vouches for servers.
type authority struct {
	file string // its certificate
	self *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t), file: filepath.Join(t.TempDir(), "ca.pem")}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "shop"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.self, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// certificate makes a server at address a new certificate and key.
func (a *authority) certificate(t *testing.T, address string) (certificate, key string) {
	t.Helper()
	own := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "database"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(address)}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.self, own.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
