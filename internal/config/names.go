package config

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// longestName is how many bytes PostgreSQL keeps of a name (NAMEDATALEN-1, PostgreSQL manual, section 4.1.1).
const longestName = 63

// TableName names a table as the catalog has it: not quoted, not folded.
type TableName struct {
	Schema, Name string
}

// String gives schema.name as the file has it, each part in double quotes if it has to be. It is not for SQL.
func (t TableName) String() string { return quoted(t.Schema) + "." + quoted(t.Name) }

// slotName accepts what PostgreSQL accepts (PostgreSQL manual, "Replication Slots").
func slotName(text string) (string, *mistake) {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789_"
	m := &mistake{fix: "write 1 to 63 of a-z, 0-9 and _, for example mtbreactive"}
	switch {
	case strings.Trim(text, letters) != "" || text == "":
		m.problem = "has other characters than a-z, 0-9 and _"
		mended := strings.Map(func(r rune) rune {
			if r = unicode.ToLower(r); strings.ContainsRune(letters, r) {
				return r
			}
			return '_'
		}, text)
		if strings.Trim(mended, "_") != "" && len(mended) <= longestName {
			m.exactFix = fmt.Sprintf("write %q", mended)
		}
		return "", m
	case len(text) > longestName:
		m.problem = fmt.Sprintf("has %d characters", len(text))
		return "", m
	}
	return text, nil
}

// catalogName is the name of a column or a publication as the catalog has it.
func catalogName(text string) (string, *mistake) {
	const fix = "write the name as the catalog has it, without SQL quotes"
	switch {
	case text == "" || unprintable(text):
		return "", &mistake{problem: "has unprintable characters", fix: fix}
	case len(text) > longestName:
		return "", &mistake{problem: fmt.Sprintf("is longer than %d bytes", longestName), fix: fix}
	}
	return text, nil
}

// channelName is what clients write into a frame.
func channelName(text string) (string, *mistake) {
	const fix = "write a name such as message or order-items"
	switch {
	case unprintable(text):
		return "", &mistake{problem: "has unprintable characters", fix: fix}
	case text == "" || strings.TrimSpace(text) != text:
		return "", &mistake{problem: "begins or ends with a space", fix: fix,
			exactFix: fmt.Sprintf("write %q", strings.TrimSpace(text))}
	}
	return text, nil
}

// unprintable tells whether text cannot be shown in a log or put into a frame.
func unprintable(text string) bool {
	return !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl)
}

// tableName is schema.table, or table alone in the schema public. A part in double quotes is taken as it is, with ""
// for a double quote; SQL would fold the capitals of any other part, so these are refused rather than guessed.
func tableName(text string) (TableName, *mistake) {
	const fix = `write schema.table, for example public.message, and names with special characters as public."Odd Name"`
	parts, ok := splitName(text)
	if !ok || len(parts) > 2 {
		return TableName{}, &mistake{problem: "is not schema.table", fix: fix}
	}
	table := TableName{Schema: "public", Name: parts[len(parts)-1].name}
	if len(parts) == 2 {
		table.Schema = parts[0].name
	}
	for _, part := range parts {
		switch {
		case len(part.name) > longestName:
			return TableName{}, &mistake{problem: fmt.Sprintf("has a part longer than %d bytes", longestName), fix: fix}
		case part.quoted || plain(part.name):
		case plain(folded(part.name)):
			small := TableName{Schema: folded(table.Schema), Name: folded(table.Name)}
			return TableName{}, &mistake{problem: "has capitals outside double quotes, which SQL turns into small letters", fix: fix,
				exactFix: fmt.Sprintf("write %s, or '%s' if that is its name", small, table)}
		default:
			return TableName{}, &mistake{problem: "has special characters outside double quotes", fix: fix,
				exactFix: fmt.Sprintf("write '%s'", table)}
		}
	}
	return table, nil
}

// ParseTableName reads a table's name as the file has it. The error says what is wrong and what to write.
func ParseTableName(text string) (TableName, error) {
	name, m := tableName(text)
	if m == nil {
		return name, nil
	}
	fix := m.fix
	if m.exactFix != "" {
		fix = m.exactFix
	}
	return TableName{}, fmt.Errorf("%q %s: %s", text, m.problem, fix)
}

// namePart is one part of a dotted name.
type namePart struct {
	name   string
	quoted bool
}

// splitName splits a dotted SQL name (PostgreSQL manual, section 4.1.1) and unquotes its parts; it fails on an empty
// part, unprintable characters and quotes that do not match.
func splitName(text string) ([]namePart, bool) {
	if unprintable(text) {
		return nil, false
	}
	var parts []namePart
	for {
		var part namePart
		if strings.HasPrefix(text, `"`) {
			part.quoted = true
			text = text[1:]
			for {
				before, after, closed := strings.Cut(text, `"`)
				if !closed {
					return nil, false
				}
				part.name += before
				if text = after; !strings.HasPrefix(text, `"`) {
					break
				}
				part.name += `"`
				text = text[1:]
			}
		} else {
			end := strings.IndexAny(text, `."`)
			if end < 0 {
				end = len(text)
			}
			part.name, text = text[:end], text[end:]
		}
		if part.name == "" {
			return nil, false
		}
		parts = append(parts, part)
		if text == "" {
			return parts, true
		}
		if !strings.HasPrefix(text, ".") {
			return nil, false
		}
		text = text[1:]
	}
}

// quoted writes a name as splitName reads it back.
func quoted(name string) string {
	if plain(name) {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// plain tells whether PostgreSQL takes a name as it is, without quotes; key words aside, which no table name here is
// confused with.
func plain(name string) bool {
	for i, r := range name {
		switch {
		case 'a' <= r && r <= 'z', r == '_', r >= utf8.RuneSelf && unicode.IsLetter(r):
		case i > 0 && ('0' <= r && r <= '9' || r == '$'):
		default:
			return false
		}
	}
	return name != ""
}

// folded turns A-Z into a-z, as PostgreSQL does to an unquoted name in UTF-8.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, name)
}
