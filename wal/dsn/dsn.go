package dsn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"
)

// Address is where a server is and how to log in there.
type Address struct {
	// Config is what pgx connects with. Each Parse makes a new one, which the caller may change.
	Config *pgx.ConnConfig
	// Ignored names the parameters that have no effect here, in alphabetical order. All are known ones.
	Ignored []string
}

// Error says what is wrong with a connection string and what to write instead, without a word of it that may be secret.
type Error struct {
	Problem, Fix string
}

func (e *Error) Error() string { return "the connection string " + e.Problem + ": " + e.Fix }

const (
	// wholeFix says how a connection string looks.
	wholeFix = "write postgres://USER:PASSWORD@HOST:PORT/DATABASE, special characters in the password as %XX, " +
		"or host=HOST user=USER password=PASSWORD dbname=DATABASE"
	// escapeFix says how a part of a URL is written.
	escapeFix = "write the special characters of user, password and parameters as %XX: @ is %40, / is %2F, ? is %3F, # is %23, & is %26, % is %25"
	// quoteFix says how a value of a keyword/value string is written.
	quoteFix = `put the password into single quotes, with \' for a quote and \\ for a backslash in it`
)

// Parse reads a connection string. The error is an *Error.
func Parse(text string) (*Address, error) {
	text = strings.TrimSpace(text)
	given, err := split(text)
	if err != nil {
		return nil, err
	}
	a := &Address{}
	if given, err = a.judge(given); err != nil {
		return nil, err
	}
	if a.Config, err = pgx.ParseConfig(compose(given)); err != nil {
		return nil, blame(given, err)
	}
	return a, a.settle()
}

// parameter is one name with its value. bare: a special character in the value would have ended it, as it stands without quotes.
type parameter struct {
	name, value string
	bare        bool
}

// split finds the parameters of a text, by libpq's names.
func split(text string) ([]parameter, error) {
	switch {
	case text == "":
		return nil, &Error{"is empty", wholeFix}
	case strings.ContainsRune(text, 0):
		return nil, &Error{"has a zero byte in it", wholeFix}
	case strings.ContainsAny(text[:1], "\"'`"):
		return nil, &Error{"begins with a quote", "write it without the quotes: a file of environment variables does not take them away"}
	}
	if scheme, rest, isURL := strings.Cut(text, "://"); isURL && schemeLike(scheme) {
		switch strings.ToLower(scheme) {
		case "postgres", "postgresql":
			if strings.ContainsFunc(rest, unicode.IsControl) {
				return nil, &Error{"has a line break or another character that is not printed", escapeFix}
			}
			return splitURL(rest)
		}
		return nil, foreign(strings.ToLower(scheme), rest)
	}
	if strings.HasPrefix(strings.ToLower(text), "jdbc:") {
		return nil, foreign("jdbc", "")
	}
	return splitKeywords(text)
}

// schemeLike tells whether what stands before :// is the scheme of a URL, and no value of a keyword.
func schemeLike(scheme string) bool {
	return scheme != "" && !strings.ContainsAny(scheme, " =\t\n")
}

// compose writes parameters as keyword/value pairs, so that pgx reads exactly what was read here.
func compose(given []parameter) string {
	var b strings.Builder
	escape := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	for _, p := range given {
		fmt.Fprintf(&b, "%s='%s' ", p.name, escape.Replace(p.value))
	}
	return b.String()
}

// blame finds the parameter whose value pgx does not take: without it, it takes the rest.
func blame(given []parameter, err error) error {
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return &Error{fmt.Sprintf("names the file %q, which cannot be read: %v", file.Path, file.Err), "write the path of a file that this process may read"}
	}
	// Where the server is comes last: without it there is no TLS, for example, and its parameters are not looked at.
	place := func(p parameter) bool { return p.name == "host" || p.name == "port" }
	for _, p := range slices.Concat(slices.DeleteFunc(slices.Clone(given), place), given) {
		if _, err := pgx.ParseConfig(compose(slices.DeleteFunc(slices.Clone(given), func(q parameter) bool { return q == p }))); err == nil {
			return &Error{"has a " + p.name + " that cannot be used", "write one that the manual lists under \"Parameter Key Words\", or leave " + p.name + " out"}
		}
	}
	return &Error{"is not a PostgreSQL connection string", wholeFix}
}

// tlsVersion understands libpq's names; 0 is none of them.
func tlsVersion(name string) uint16 {
	switch name {
	case "TLSv1":
		return tls.VersionTLS10
	case "TLSv1.1":
		return tls.VersionTLS11
	case "TLSv1.2":
		return tls.VersionTLS12
	case "TLSv1.3":
		return tls.VersionTLS13
	}
	return 0
}

// eachTLS changes the settings of every way to connect that is encrypted.
func (a *Address) eachTLS(change func(*tls.Config)) {
	if a.Config.TLSConfig != nil {
		change(a.Config.TLSConfig)
	}
	for _, f := range a.Config.Fallbacks {
		if f.TLSConfig != nil {
			change(f.TLSConfig)
		}
	}
}
