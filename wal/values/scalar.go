package values

import "bytes"

// appendBool encodes a boolean, which PostgreSQL writes as t or f.
func appendBool(dst, text []byte) []byte {
	switch string(text) {
	case "t":
		return append(dst, "true"...)
	case "f":
		return append(dst, "false"...)
	default:
		return appendString(dst, text)
	}
}

// appendNumber encodes an integer, float or numeric. PostgreSQL writes them as JSON does, but for NaN and the
// infinities, which to_jsonb turns into strings, and for the float -0, which it turns into 0.
func appendNumber(dst, text []byte) []byte {
	switch {
	case len(text) == 0 || numberLen(text) != len(text):
		return appendString(dst, text)
	case string(text) == "-0":
		return append(dst, '0')
	default:
		return append(dst, text...)
	}
}

// numberLen returns the length of the JSON number (RFC 8259, section 6) that text begins with, or 0.
func numberLen(text []byte) int {
	n := 0
	if n < len(text) && text[n] == '-' {
		n++
	}
	whole := digits(text[n:])
	if whole == 0 || whole > 1 && text[n] == '0' {
		return 0
	}
	n += whole
	if n < len(text) && text[n] == '.' {
		fraction := digits(text[n+1:])
		if fraction == 0 {
			return 0
		}
		n += 1 + fraction
	}
	if n < len(text) && (text[n] == 'e' || text[n] == 'E') {
		n++
		if n < len(text) && (text[n] == '+' || text[n] == '-') {
			n++
		}
		exponent := digits(text[n:])
		if exponent == 0 {
			return 0
		}
		n += exponent
	}
	return n
}

// digits counts the decimal digits that text begins with.
func digits(text []byte) int {
	for n, c := range text {
		if c < '0' || c > '9' {
			return n
		}
	}
	return len(text)
}

// appendTimestamp encodes a timestamp with or without time zone. DateStyle ISO writes "2024-02-29 12:00:00+00 BC";
// to_jsonb writes the same as XML Schema has it, with a T and with minutes in the zone. Infinities stay as they are.
func appendTimestamp(dst, text []byte) []byte {
	date, rest, _ := bytes.Cut(text, []byte(" "))
	clock, beforeChrist := bytes.CutSuffix(rest, []byte(" BC"))
	var zone []byte
	if i := bytes.IndexAny(clock, "+-"); i >= 0 {
		clock, zone = clock[:i], clock[i:]
	}
	if !isDate(date) || !isClock(clock) || !isZone(zone) {
		return appendString(dst, text)
	}
	dst = append(dst, '"')
	dst = append(dst, date...)
	dst = append(dst, 'T')
	dst = append(dst, clock...)
	dst = append(dst, zone...)
	if len(zone) == len("+00") {
		dst = append(dst, ":00"...)
	}
	if beforeChrist {
		dst = append(dst, " BC"...)
	}
	return append(dst, '"')
}

// isDate tells whether text is a date with a year of four digits or more.
func isDate(text []byte) bool {
	year := digits(text)
	return year >= 4 && shaped(text[year:], "-00-00")
}

// isClock tells whether text is a time of day, with or without a fraction of a second.
func isClock(text []byte) bool {
	const whole = "00:00:00"
	if len(text) > len(whole) {
		fraction := text[len(whole):]
		return shaped(text[:len(whole)], whole) && fraction[0] == '.' && digits(fraction[1:]) == len(fraction)-1
	}
	return shaped(text, whole)
}

// isZone tells whether text is empty or an offset from UTC in hours, minutes and seconds, beginning with its sign.
func isZone(text []byte) bool {
	return len(text) == 0 || shaped(text[1:], "00") || shaped(text[1:], "00:00") || shaped(text[1:], "00:00:00")
}

// shaped tells whether text is as shape, where 0 stands for any digit.
func shaped(text []byte, shape string) bool {
	if len(text) != len(shape) {
		return false
	}
	for i, c := range text {
		isDigit := c >= '0' && c <= '9'
		if shape[i] == '0' && !isDigit || shape[i] != '0' && c != shape[i] {
			return false
		}
	}
	return true
}
