package app

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/wal"
)

func TestP77ColumnsThatLookLikeSecrets(t *testing.T) {
	for _, name := range []string{
		"password", "password_hash", "passwordHash", "encrypted_password", "PASSWD", "user_pwd", "passphrase", "Passwort", "token", "reset_token", "accessTokens",
		"refreshtoken", "secret", "client_secret", "totp_secret", "otp", "OTPCode", "hash", "contenthash", "key", "api_key", "APIKey", "apikey2", "private-key", "signing_keys",
		"salt", "ssn", "credentials", "webauthnCredential", "hashed",
	} {
		want := name != "hashed"
		if secretName(name, true) != want {
			t.Errorf("%s: secret is %t", name, !want)
		}
	}
	for _, name := range []string{
		"monkey", "keyboard", "turkey", "email", "body", "author", "compass", "passenger", "secretary", "tokenizer", "basalt", "session_note", "hotpot", "crossness", "created_at", "",
	} {
		if secretName(name, true) {
			t.Errorf("%s is taken for a secret", name)
		}
	}
	for name, want := range map[string]bool{"token_count": false, "password_changed": false, "key": false, "otp": true, "ssn": true} {
		if secretName(name, false) != want {
			t.Errorf("number %s: secret is %t", name, !want)
		}
	}
}

func TestP77KeysOfTablesAreNoSecrets(t *testing.T) {
	text := func(name string) wal.ColumnInfo { return wal.ColumnInfo{Name: name, BaseOID: pgtype.TextOID} }
	table := &wal.TableInfo{
		PrimaryKey: []string{"key"}, ForeignKeys: []string{"token_hash"},
		Columns: []wal.ColumnInfo{text("key"), text("token_hash"), text("value"), {Name: "password_changed_at", BaseOID: pgtype.TimestamptzOID}},
	}
	if got := secretColumns(table); got != nil {
		t.Errorf("found %q", got)
	}
	table.Columns = append(table.Columns, text("api_key"), text("salt"), text("otp"), text("secret"))
	if got := strings.Join(secretColumns(table), " "); got != "api_key salt otp ..." {
		t.Errorf("found %q", got)
	}
}

// A program that has the gateway in it decides itself who its clients are, and may have configured nothing else.
func TestP77AProgramWithoutAConfiguration(t *testing.T) {
	served := &served{
		channels: []fanout.Channel{{Name: "account"}},
		wanted: []wal.WantedTable{
			{TableInfo: &wal.TableInfo{TableName: wal.TableName{Schema: "public", Name: "account"}, Columns: []wal.ColumnInfo{{Name: "id"}, {Name: "password"}}}},
			{TableInfo: &wal.TableInfo{Columns: []wal.ColumnInfo{{Name: "secret"}}}, Watched: true},
			{TableInfo: &wal.TableInfo{TableName: wal.TableName{Schema: "public", Name: "note"}, Columns: []wal.ColumnInfo{{Name: "token"}}}},
		},
	}
	functions := Functions{Authenticate: func(*http.Request) (*auth.Principal, error) { return nil, nil }}
	for text, want := range map[string]string{
		"":               "Options.Config is empty: 1 tables with 2 columns are served, rows and all, to every client that Options.Authenticate lets in; these look like secrets: public.account (password)",
		"slot: orders\n": "",
	} {
		cfg, err := config.Parse("Options.Config", []byte(text), "Options.DatabaseURL", "postgres://db.internal/shop")
		if err != nil {
			t.Fatal(err)
		}
		e := exposed(cfg, functions, served, []wal.TableState{{Table: wal.TableName{Schema: "public", Name: "note"}, Progress: wal.LeftOut}})
		if want == "" {
			if e != nil {
				t.Errorf("%q: %+v", text, e)
			}
			continue
		}
		if got := e.condition().Detail; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// A thousand such tables are counted, not listed.
func TestP77TheWarningIsBounded(t *testing.T) {
	e := &exposure{absent: "there is no file /srv/reactive.yaml", audience: "everyone", tables: 1000, columns: 2000, more: 990}
	for i := range mostSecretive {
		e.secretive = append(e.secretive, fmt.Sprintf("public.user_%d (password)", i))
	}
	c := e.condition()
	if len(c.Detail) > 600 || !strings.Contains(c.Detail, "and columns of 990 more tables") || !strings.Contains(c.Detail, "1000 tables with 2000 columns") {
		t.Error(c.Detail)
	}
}
