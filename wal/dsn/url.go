package dsn

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// splitURL reads what follows postgres://. It goes by libpq (conninfo_uri_parse), but refuses what libpq takes for
// something else than was meant: where an @, / or ? of a password is not escaped, the rest of the password would be taken
// for a host, a database or a parameter, and shown in every message about them.
func splitURL(text string) ([]parameter, error) {
	var given []parameter
	add := func(name, raw string, bare bool) error {
		value, ok := decode(raw)
		if !ok {
			return &Error{"has a space in it, or a % that two hexadecimal digits do not follow", escapeFix + ", a space is %20"}
		}
		given = append(given, parameter{name, value, bare})
		return nil
	}
	stray := &Error{"has an @ too many, or another special character of the password that is not escaped", escapeFix}
	rest := text
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		user, password, has := strings.Cut(rest[:i], ":")
		if strings.ContainsAny(user, "?#&= ") || looksLikeQuery.MatchString(password) {
			return nil, stray
		}
		if user != "" {
			if err := add("user", user, false); err != nil {
				return nil, err
			}
		}
		if has && password != "" {
			if err := add("password", password, false); err != nil {
				return nil, err
			}
		}
		rest = rest[i+1:]
	}
	if strings.Contains(rest, "@") {
		return nil, stray
	}
	authority, query, _ := strings.Cut(rest, "?")
	authority, database, _ := strings.Cut(authority, "/")
	hosts, ports, err := splitHosts(authority)
	if err != nil {
		return nil, err
	}
	if hosts != "" {
		if err := add("host", hosts, false); err != nil {
			return nil, err
		}
	}
	if ports != "" {
		given = append(given, parameter{"port", ports, false})
	}
	if database != "" {
		if err := add("dbname", database, false); err != nil {
			return nil, err
		}
	}
	if query == "" {
		return given, nil
	}
	for pair := range strings.SplitSeq(query, "&") {
		rawName, raw, has := strings.Cut(pair, "=")
		name, ok := decode(rawName)
		if !has || !ok || !nameLike(name) {
			return nil, &Error{"has a parameter that is not NAME=VALUE", escapeFix}
		}
		if strings.Contains(raw, "=") {
			return nil, &Error{"has a parameter with two =", escapeFix + ", = is %3D"}
		}
		if name == "ssl" && raw == "true" {
			name, raw = "sslmode", "require" // as libpq does, for JDBC's sake
		}
		if err := add(name, raw, true); err != nil {
			return nil, err
		}
	}
	return given, nil
}

// looksLikeQuery matches a password that is more likely a query, in which an @ is not escaped.
var looksLikeQuery = regexp.MustCompile(`[?&][A-Za-z_]+=`)

// splitHosts reads host:port,host:port into libpq's two lists.
func splitHosts(authority string) (hosts, ports string, err error) {
	if authority == "" {
		return "", "", nil
	}
	var hostList, portList []string
	for _, one := range splitOutsideBrackets(authority) {
		host, port := one, ""
		if inner, ok := strings.CutPrefix(one, "["); ok {
			address, after, closed := strings.Cut(inner, "]")
			if !closed || address == "" || strings.Trim(strings.ToLower(address), "0123456789abcdefghijklmnopqrstuvwxyz:.%-_") != "" || after != "" && after[0] != ':' {
				return "", "", &Error{"has a [ that no IPv6 address and ] follow", escapeFix + ", [ is %5B"}
			}
			host, port = address, strings.TrimPrefix(after, ":")
		} else if i := strings.IndexByte(one, ':'); i >= 0 {
			host, port = one[:i], one[i+1:]
		}
		if !hostLike(host) {
			return "", "", &Error{"has a host that is neither a name nor an address", escapeFix}
		}
		if _, err := strconv.ParseUint(port, 10, 16); port != "" && err != nil || strings.Trim(port, "0") == "" && port != "" {
			return "", "", &Error{"has a port that is not a number from 1 to 65535", "write HOST:PORT; if that is a part of the password, " + escapeFix}
		}
		hostList, portList = append(hostList, host), append(portList, port)
	}
	hosts, ports = strings.Join(hostList, ","), strings.Join(portList, ",")
	return hosts, ports, nil
}

func splitOutsideBrackets(authority string) []string {
	var parts []string
	inside, from := false, 0
	for i, r := range authority {
		switch {
		case r == '[':
			inside = true
		case r == ']':
			inside = false
		case r == ',' && !inside:
			parts, from = append(parts, authority[from:i]), i+1
		}
	}
	return append(parts, authority[from:])
}

// hostLike accepts the characters of a name, of an address and of a path, the last with %2F, and the empty text.
func hostLike(host string) bool {
	for _, r := range host {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune(".-_%:~", r), r > 0x7f:
		default:
			return false
		}
	}
	return true
}

// nameLike accepts the names of parameters, those of extensions included.
func nameLike(name string) bool {
	for _, r := range name {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '_', r == '.':
		default:
			return false
		}
	}
	return name != ""
}

// decode replaces each %XX. A plus sign is one: this is no form of a web page. Spaces around the text do not count.
func decode(text string) (string, bool) {
	text = strings.Trim(text, spaces)
	if strings.ContainsAny(text, spaces) {
		return "", false
	}
	if !strings.Contains(text, "%") {
		return text, true
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			b.WriteByte(text[i])
			continue
		}
		if i+3 > len(text) {
			return "", false
		}
		n, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
		if err != nil || n == 0 {
			return "", false
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), true
}

// foreign says what to write instead of a URL that is meant for another program.
func foreign(scheme, rest string) error {
	language, inner, _ := strings.Cut(scheme, ":")
	base, driver, _ := strings.Cut(scheme, "+")
	among := func(name, names string) bool { return slices.Contains(strings.Fields(names), name) }
	switch {
	case among(language, "jdbc r2dbc") && (inner == "" || among(inner, "postgresql pgsql postgres pool:postgresql")):
		return &Error{"is a Java URL", fmt.Sprintf("write postgres://USER:PASSWORD@%s, with the user and the password of the Java URL", target(rest))}
	case among(language, "jdbc r2dbc"):
		return &Error{"is a Java URL of another database", wholeFix}
	case among(base, "postgres postgresql") && driver != "":
		return &Error{"names the driver of another language before ://", "write postgres:// in front of the rest"}
	case among(base, "pgsql psql pg postgis ecto cockroachdb"):
		return &Error{"does not begin with postgres://", "write postgres:// in front of the rest"}
	case among(base, "mysql mysql2 mariadb mongodb redis rediss sqlserver mssql sqlite oracle http https ws wss"):
		return &Error{"is a " + base + " URL", wholeFix}
	}
	return &Error{"is not a PostgreSQL connection string", wholeFix}
}

// target gives the host, port and database of another program's URL, each as a placeholder where it is not surely one.
func target(rest string) string {
	host, port, database := "HOST", "PORT", "DATABASE"
	where, _, _ := strings.Cut(rest, "?")
	if strings.ContainsAny(where, "@;&=#") {
		return host + ":" + port + "/" + database
	}
	authority, path, _ := strings.Cut(where, "/")
	if hosts, ports, err := splitHosts(authority); err == nil && hosts != "" && !strings.ContainsAny(authority, ",[%") {
		host, port = hosts, ports
		if port == "" {
			port = "5432"
		}
		if nameLike(strings.ReplaceAll(path, "-", "_")) {
			database = path
		}
	}
	return host + ":" + port + "/" + database
}
