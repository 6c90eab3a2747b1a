package app

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5/pgtype"
	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/wal"
)

// exposure is what a gateway serves that no configuration has named, and to whom.
type exposure struct {
	absent          string // that there is no configuration, and where it was looked for
	audience        string
	place           string // where a configuration belongs
	tables, columns int
	secretive       []string // tables with the columns that look like secrets, not more than mostSecretive
	more            int      // such tables beyond these
}

const mostSecretive = 10

// exposed is nil where a configuration was found. states say which of the wanted tables are left out.
func exposed(cfg *config.Config, functions Functions, s *served, states []wal.TableState) *exposure {
	if cfg.Absent() == "" {
		return nil
	}
	e := &exposure{absent: cfg.Absent(), audience: "everyone who can connect to " + cfg.Listen,
		place: "in reactive.yaml, or in a file that --config names"}
	if functions.Authenticate != nil {
		e.audience, e.place = "every client that Options.Authenticate lets in", "in Options.Config"
	}
	for _, w := range s.wanted {
		leftOut := slices.ContainsFunc(states, func(t wal.TableState) bool { return t.Table == w.TableName && t.Progress == wal.LeftOut })
		if w.Watched || leftOut {
			continue
		}
		e.tables++
		e.columns += len(w.Columns)
		secrets := secretColumns(w.TableInfo)
		switch {
		case len(secrets) == 0:
		case len(e.secretive) == mostSecretive:
			e.more++
		default:
			e.secretive = append(e.secretive, fmt.Sprintf("%s (%s)", w.TableName, strings.Join(secrets, ", ")))
		}
	}
	return e
}

// condition says it in words.
func (e *exposure) condition() condition {
	detail := fmt.Sprintf("%s: %d tables with %d columns are served, rows and all, to %s", e.absent, e.tables, e.columns, e.audience)
	if len(e.secretive) > 0 {
		detail += "; these look like secrets: " + strings.Join(e.secretive, ", ")
	}
	if e.more > 0 {
		detail += fmt.Sprintf(", and columns of %d more tables", e.more)
	}
	return condition{"no configuration", detail,
		"name the tables to serve under reactive, what is kept back under columns, and who may see what under authenticate and authorize, " + e.place}
}

// conditions are none where e is nil.
func (e *exposure) conditions() []condition {
	if e == nil {
		return nil
	}
	return []condition{e.condition()}
}

func (e *exposure) warn(log *zap.Logger) {
	c := e.condition()
	log.Warn("no configuration: every table of the publication is served", zap.String("detail", c.Detail), zap.String("do", c.Do))
}

// mostSecretColumns bounds what is named of one table.
const mostSecretColumns = 3

// secretColumns are the columns of a table whose names say that they hold a secret. Keys that other tables use, dates and
// the like are none.
func secretColumns(t *wal.TableInfo) []string {
	var found []string
	for i := range t.Columns {
		c := &t.Columns[i]
		if slices.Contains(t.PrimaryKey, c.Name) || slices.Contains(t.ForeignKeys, c.Name) || !secretName(c.Name, holdsText(c)) {
			continue
		}
		if len(found) == mostSecretColumns {
			return append(found, "...")
		}
		found = append(found, c.Name)
	}
	return found
}

// holdsText tells whether a column can hold any text, and not only a number, a date or a truth.
func holdsText(c *wal.ColumnInfo) bool {
	switch c.BaseOID {
	case pgtype.BoolOID, pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.NumericOID, pgtype.Float4OID, pgtype.Float8OID, pgtype.DateOID,
		pgtype.TimeOID, pgtype.TimetzOID, pgtype.TimestampOID, pgtype.TimestamptzOID, pgtype.IntervalOID:
		return false
	}
	return true
}

// secretName looks at the words of a name, which capitals, digits and signs part. Long ones also count as the end of a
// word, as in clientsecret; short ones would be found in too many others.
func secretName(name string, text bool) bool {
	for _, word := range words(name) {
		word = strings.TrimSuffix(word, "s")
		digits := slices.Contains([]string{"otp", "totp", "ssn", "pin", "cvv", "cvc"}, word)
		whole := slices.Contains([]string{"key", "salt", "pas", "pw", "pwd", "seed", "mnemonic"}, word)
		part := slices.ContainsFunc([]string{"password", "passwd", "passphrase", "passcode", "passwort", "secret", "token", "credential", "apikey", "privatekey", "hash"}, func(end string) bool {
			return strings.HasSuffix(word, end)
		})
		if digits || text && (whole || part || strings.HasPrefix(word, "passw")) {
			return true
		}
	}
	return false
}

// words parts snake_case, camelCase and what else people write.
func words(name string) []string {
	runes := []rune(name)
	var all []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			all = append(all, strings.ToLower(string(word)))
		}
		word = nil
	}
	for i, r := range runes {
		if !unicode.IsLetter(r) {
			end()
			continue
		}
		afterSmall := i > 0 && unicode.IsLower(runes[i-1])
		beforeSmall := i > 0 && i+1 < len(runes) && unicode.IsLower(runes[i+1])
		if unicode.IsUpper(r) && (afterSmall || beforeSmall) {
			end()
		}
		word = append(word, r)
	}
	end()
	return all
}
