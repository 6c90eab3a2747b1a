package dsn

import (
	"regexp"
	"strings"
)

const spaces = " \t\n\r\v\f"

// otherSeparator is what .NET, ODBC and PHP write between parameters: for libpq all that follows is part of one value, which may
// be one that is shown, such as host.
var otherSeparator = regexp.MustCompile(`[;,&]\s*[A-Za-z][A-Za-z_ ]*=`)

// splitKeywords reads keyword/value pairs as libpq does (conninfo_parse).
func splitKeywords(text string) ([]parameter, error) {
	if !strings.Contains(text, "=") {
		if strings.Contains(text, "@") {
			return nil, &Error{"does not begin with postgres://", "write postgres:// in front of it"}
		}
		return nil, &Error{"is not a PostgreSQL connection string", wholeFix}
	}
	var given []parameter
	for rest := strings.TrimLeft(text, spaces); rest != ""; rest = strings.TrimLeft(rest, spaces) {
		name, after, has := strings.Cut(rest, "=")
		name = strings.Trim(name, spaces)
		switch {
		case !has || strings.ContainsAny(name, spaces):
			return nil, &Error{"has a word that is not NAME=VALUE", "put values with spaces into single quotes; in them a quote is \\' and a backslash \\\\"}
		case !nameLike(name):
			return nil, &Error{"has a name that is none of a parameter", wholeFix}
		}
		p := parameter{name: name}
		var ok bool
		after = strings.TrimLeft(after, spaces)
		if p.value, rest, ok = value(after); !ok {
			return nil, &Error{"has a single quote that is not closed", quoteFix}
		}
		p.bare = !strings.HasPrefix(after, "'")
		if !p.bare && rest != "" && !strings.ContainsAny(rest[:1], spaces) {
			return nil, &Error{"goes on right behind a closing quote", quoteFix}
		}
		if p.name == strings.ToUpper(p.name) && strings.Contains(p.value, "://") {
			return nil, &Error{"begins with the name of a variable", "write what follows the first ="}
		}
		if p.name != "password" && p.name != "sslpassword" && p.name != "options" && otherSeparator.MatchString(p.value) {
			return nil, &Error{"separates its parameters with another character than a space", wholeFix}
		}
		given = append(given, p)
	}
	return given, nil
}

// value reads one value and returns what follows it.
func value(text string) (value, rest string, ok bool) {
	var b strings.Builder
	quoted := strings.HasPrefix(text, "'")
	i := 0
	if quoted {
		i = 1
	}
	for ; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			if i++; i < len(text) {
				b.WriteByte(text[i])
			}
		case quoted && text[i] == '\'':
			return b.String(), text[i+1:], true
		case !quoted && strings.IndexByte(spaces, text[i]) >= 0:
			return b.String(), text[i:], true
		default:
			b.WriteByte(text[i])
		}
	}
	return b.String(), "", !quoted
}
