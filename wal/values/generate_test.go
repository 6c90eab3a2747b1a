package values_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"pgregory.net/rapid"
)

// expression generates SQL expressions of one type, NULL among them.
type expression = *rapid.Generator[string]

// orderSchema makes types of every kind that a user can make, with names that need quoting and a dropped attribute.
func orderSchema() []string {
	return []string{
		`create type order_status as enum ('new', 'paid "in full"', 'NULL', 'null', '{shipped}', '(lost, found)', 'back\slash')`,
		`create domain amount as numeric`,
		`create domain price as amount`,
		`create domain labels as text[]`,
		`create domain moment as timestamptz`,
		`create type item_range as range (subtype = text)`,
		`create type "order ""line""" as (
			"the ""item""" text, dropped_first int, quantity int4, unit price, placed moment, status order_status,
			"back\slash" labels, dropped_last text, details jsonb)`,
		`alter type "order ""line""" drop attribute dropped_first`,
		`alter type "order ""line""" drop attribute dropped_last`,
		`alter type "order ""line""" add attribute note varchar`,
		`create type parcel as (first "order ""line""", lines "order ""line"""[], period tstzrange, periods tstzmultirange,
			weights float8[], ids int8[], paper json, fragile bool)`,
		`create domain sealed_parcel as parcel`,
		`create table depot (place point, boxes box[])`,
		`create type nothing as ()`,
		`create type lone as (name text)`,
	}
}

// generators returns, by the name of the type, the generator of each type of orderSchema and of each built-in type
// that has an input function, with its array.
func generators() map[string]expression {
	g := scalarGenerators()

	status := literal("order_status", rapid.SampledFrom([]string{
		"new", `paid "in full"`, "NULL", "null", "{shipped}", "(lost, found)", `back\slash`}))
	labels := cast("labels", arrayOf("text", g["text"]))
	price := cast("price", g["numeric"])
	moment := cast("moment", g["timestamptz"])
	line := row(`"order ""line"""`, g["text"], g["int4"], price, moment, status, labels, g["jsonb"], g["varchar"])
	parcel := row("parcel", line, arrayOf(`"order ""line"""`, line), g["tstzrange"], g["tstzmultirange"],
		arrayOf("float8", g["float8"]), arrayOf("int8", g["int8"]), g["json"], g["bool"])

	g["order_status"] = status
	g["amount"] = cast("amount", g["numeric"])
	g["price"] = price
	g["labels"] = labels
	g["moment"] = moment
	g["item_range"] = rangeOf("item_range", g["text"])
	g["item_multirange"] = multirangeOf("item_multirange", g["item_range"])
	g[`"order ""line"""`] = line
	g["parcel"] = parcel
	g["sealed_parcel"] = cast("sealed_parcel", parcel)
	g["depot"] = row("depot", g["point"], arrayOf("box", g["box"]))
	g["nothing"] = literal("nothing", rapid.SampledFrom([]string{"()"}))
	g["lone"] = row("lone", g["text"])

	elements := make([]string, 0, len(g))
	for name := range g {
		elements = append(elements, name)
	}
	for _, name := range elements {
		g[name+"[]"] = arrayOf(name, g[name])
	}
	return g
}

// scalarGenerators covers the built-in types but for arrays.
func scalarGenerators() map[string]expression {
	float := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1)}))
	plainFloat := rapid.Map(rapid.Float64Range(-1e9, 1e9), formatFloat)
	point := format("(%s,%s)", plainFloat, plainFloat)
	points := list(point)
	decimal := rapid.OneOf(
		rapid.StringMatching(`-?[0-9]{1,30}(\.[0-9]{1,30})?(e-?[0-9]{1,2})?`),
		rapid.SampledFrom([]string{"NaN", "Infinity", "-Infinity", "0.00", "-0.10", "1e400", "1e-400"}))
	day := rapid.IntRange(-2451545, 106751982) // days from 2000-01-01 between the ends of timestamp
	microsecond := rapid.Int64Range(0, 86_400_000_000-1)
	octet := rapid.Byte()
	ipv4 := format("%s.%s.%s.%s", octet, octet, octet, octet)
	ipv6 := rapid.StringMatching(`[1-9a-f][0-9a-f]{0,3}(:[0-9a-f]{1,4}){7}`)
	word := rapid.StringMatching(`[a-z]{1,8}`)
	words := rapid.Map(rapid.SliceOfN(word, 1, 4), func(w []string) string { return strings.Join(w, " ") })

	g := map[string]expression{
		"bool": literal("bool", rapid.Bool()),

		"int2":     literal("int2", rapid.Int16()),
		"int4":     literal("int4", rapid.Int32()),
		"int8":     literal("int8", rapid.Int64()),
		"float4":   literal("float4", rapid.OneOf(rapid.Map(rapid.Float32(), func(f float32) float64 { return float64(f) }), rapid.Just(math.NaN()))),
		"float8":   literal("float8", rapid.Map(float, formatFloat)),
		"numeric":  literal("numeric", decimal),
		"money":    literal("money", rapid.Map(rapid.Int32(), func(cents int32) string { return fmt.Sprintf("%.2f", float64(cents)/100) })),
		"oid":      literal("oid", rapid.Uint32()),
		"xid":      literal("xid", rapid.Uint32()),
		"cid":      literal("cid", rapid.Uint32()),
		"xid8":     literal("xid8", rapid.Uint64()),
		"pg_lsn":   literal("pg_lsn", rapid.StringMatching(`[0-9A-F]{1,8}/[0-9A-F]{1,8}`)),
		"tid":      literal("tid", format("(%s,%s)", rapid.Uint32(), rapid.Uint16())),
		"uuid":     literal("uuid", rapid.StringMatching(`[0-9a-f]{32}`)),
		"bit":      literal("bit(5)", rapid.StringMatching(`[01]{5}`)),
		"varbit":   literal("varbit", rapid.StringMatching(`[01]{0,70}`)),
		"inet":     literal("inet", rapid.OneOf(ipv4, ipv6, format("%s/%s", ipv4, rapid.IntRange(0, 32)))),
		"cidr":     call("network", literal("inet", rapid.OneOf(format("%s/%s", ipv4, rapid.IntRange(0, 32)), ipv6))),
		"macaddr":  literal("macaddr", rapid.StringMatching(`[0-9a-f]{12}`)),
		"macaddr8": literal("macaddr8", rapid.StringMatching(`[0-9a-f]{16}`)),

		"text":      literal("text", text()),
		"varchar":   literal("varchar", text()),
		"bpchar":    literal("bpchar", text()),
		"name":      literal("name", text()),
		`"char"`:    literal(`"char"`, rapid.OneOf(rapid.StringMatching(`[ -~]`), rapid.Just(`\351`), rapid.Just(""))),
		"refcursor": literal("refcursor", text()),
		"bytea":     literal("bytea", rapid.Map(rapid.SliceOf(octet), func(b []byte) string { return fmt.Sprintf(`\x%x`, b) })),
		"xml":       literal("xml", format(`<order id="%s">%s</order>`, rapid.Int(), words)),
		"json":      literal("json", document(3)),
		"jsonb":     literal("jsonb", document(3)),
		"jsonpath":  literal("jsonpath", rapid.SampledFrom([]string{`$."the key"[*] ? (@ > 1)`, `strict $.a.b`, `$[last]`})),

		"date":        datetime("date", "date '2000-01-01' + %s", day),
		"time":        datetime("time", "time '00:00' + interval '%s microseconds'", microsecond, "24:00:00"),
		"timetz":      literal("timetz", rapid.StringMatching(`(24:00:00|([01][0-9]|2[0-3])(:[0-5][0-9]){2}(\.[0-9]{1,6})?)[+-]1[0-4](:[0-5][0-9]){0,2}`)),
		"timestamp":   datetime("timestamp", "timestamp '2000-01-01' + interval '%s days %s microseconds'", day, microsecond),
		"timestamptz": datetime("timestamptz", "timestamptz '2000-01-01' + interval '%s days %s microseconds'", day, microsecond),
		"interval": literal("interval", format("%s years %s months %s days %s microseconds",
			rapid.IntRange(-9999, 9999), rapid.IntRange(-11, 11), rapid.IntRange(-999, 999), rapid.Int64Range(-1e15, 1e15))),

		"point":   literal("point", rapid.OneOf(point, rapid.Just("(NaN,Infinity)"))),
		"lseg":    literal("lseg", format("[%s,%s]", point, point)),
		"box":     literal("box", format("%s,%s", point, point)),
		"line":    literal("line", format("{1,%s,%s}", plainFloat, plainFloat)),
		"circle":  literal("circle", format("<%s,%s>", point, rapid.IntRange(0, 99))),
		"path":    literal("path", rapid.OneOf(format("[%s]", points), format("(%s)", points))),
		"polygon": literal("polygon", format("(%s)", points)),

		"tsvector": call("to_tsvector", literal("text", words)),
		"tsquery":  call("plainto_tsquery", literal("text", words)),

		"regclass":      literal("regclass", rapid.SampledFrom([]string{"pg_class", "pg_type", "12345"})),
		"regcollation":  literal("regcollation", rapid.SampledFrom([]string{`"C"`, `"POSIX"`})),
		"regconfig":     literal("regconfig", rapid.SampledFrom([]string{"simple", "english"})),
		"regdictionary": literal("regdictionary", rapid.SampledFrom([]string{"simple"})),
		"regnamespace":  literal("regnamespace", rapid.SampledFrom([]string{"pg_catalog", "public"})),
		"regoper":       literal("regoper", rapid.SampledFrom([]string{"||/", "0"})),
		"regoperator":   literal("regoperator", rapid.SampledFrom([]string{"+(int4,int4)", "-(NONE,int8)"})),
		"regproc":       literal("regproc", rapid.SampledFrom([]string{"now", "array_in"})),
		"regprocedure":  literal("regprocedure", rapid.SampledFrom([]string{"sum(int4)", "now()"})),
		"regrole":       literal("regrole", rapid.SampledFrom([]string{"pg_monitor"})),
		"regtype":       literal("regtype", rapid.SampledFrom([]string{"int4", `"char"`, "timestamptz[]"})),
		"aclitem":       literal("aclitem", rapid.SampledFrom([]string{"=r/pg_monitor", "pg_monitor=r*w/pg_monitor"})),
		"txid_snapshot": literal("txid_snapshot", rapid.SampledFrom([]string{"10:10:", "10:20:12,14"})),
		"pg_snapshot":   literal("pg_snapshot", rapid.SampledFrom([]string{"10:10:", "10:20:12,14"})),

		"int2vector": literal("int2vector", rapid.StringMatching(`(-?[1-9][0-9]{0,3}( [0-9]){0,3})?`)),
		"oidvector":  literal("oidvector", rapid.StringMatching(`([1-9][0-9]{0,8}( [0-9]){0,3})?`)),
	}
	for name, bound := range map[string]expression{
		"int4": literal("int4", rapid.Int32Range(-1e9, 1e9)),
		"int8": literal("int8", rapid.Int64Range(-1e18, 1e18)),
		"num":  g["numeric"],
		"ts":   g["timestamp"],
		"tstz": g["timestamptz"],
		"date": g["date"],
	} {
		r := rangeOf(name+"range", bound)
		g[name+"range"] = r
		g[name+"multirange"] = multirangeOf(name+"multirange", r)
	}
	return g
}

func formatFloat(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// text generates what is hard to quote, escape or decode. PostgreSQL's text holds no NUL.
func text() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", " ", "NULL", "null", `"`, `\`, `""`, `\\"`, "{}", "{a,b}", "(a,,b)", "[0:1]={1}", ",", "'",
			"line\nbreak", "\r\n\t\v\f\b\x01\x1f\x7f", "<b>&</b>", "\u2028\u2029", "Grüße, Ёжик, 会話, 🚀", "a long enough text\x02 for words of eight bytes\""}),
		rapid.Map(rapid.String(), func(s string) string { return strings.ReplaceAll(s, "\x00", "") }))
}

// document generates JSON texts with white space of every kind between the tokens.
func document(depth int) *rapid.Generator[string] {
	space := rapid.SampledFrom([]string{"", "", " ", "\n", "\r\n\t"})
	str := rapid.Map(text(), func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			panic(err)
		}
		return string(b)
	})
	number := rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?`)
	value := rapid.OneOf(str, number, rapid.SampledFrom([]string{"null", "true", "false", "[]", "{}", "[ ]", "{\n}"}))
	if depth > 0 {
		inner := document(depth - 1)
		value = rapid.OneOf(value,
			format("[%s]", list(inner)),
			format("{%s}", list(format("%s%s%s:%s", space, str, space, inner))))
	}
	return format("%s%s%s", space, value, space)
}

// list generates one to four items with commas between them.
func list(item *rapid.Generator[string]) *rapid.Generator[string] {
	return rapid.Map(rapid.SliceOfN(item, 1, 4), func(items []string) string { return strings.Join(items, ",") })
}

// format generates texts out of the parts' texts.
func format(layout string, parts ...any) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		args := make([]any, len(parts))
		for i, part := range parts {
			args[i] = drawText(t, part)
		}
		return fmt.Sprintf(layout, args...)
	})
}

// drawText draws from a generator of any type that format takes.
func drawText(t *rapid.T, generator any) string {
	switch g := generator.(type) {
	case *rapid.Generator[string]:
		return g.Draw(t, "text")
	case *rapid.Generator[int]:
		return strconv.Itoa(g.Draw(t, "int"))
	case *rapid.Generator[int64]:
		return strconv.FormatInt(g.Draw(t, "int64"), 10)
	case *rapid.Generator[byte]:
		return strconv.Itoa(int(g.Draw(t, "byte")))
	case *rapid.Generator[uint16]:
		return strconv.Itoa(int(g.Draw(t, "uint16")))
	case *rapid.Generator[uint32]:
		return strconv.FormatUint(uint64(g.Draw(t, "uint32")), 10)
	default:
		panic(fmt.Sprintf("no text of a %T", generator))
	}
}

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// nullable generates NULL now and then.
func nullable(typeName string, g expression) expression {
	return rapid.OneOf(g, g, g, g, g, rapid.Just("NULL::"+typeName))
}

func literal[V any](typeName string, value *rapid.Generator[V]) expression {
	return nullable(typeName, rapid.Map(value, func(v V) string { return quote(fmt.Sprint(v)) + "::" + typeName }))
}

func cast(typeName string, value expression) expression {
	return rapid.Map(value, func(sql string) string { return "(" + sql + ")::" + typeName })
}

func call(function string, argument expression) expression {
	return rapid.Map(argument, func(sql string) string { return function + "(" + sql + ")" })
}

// datetime generates times that are reckoned by the server, and the special ones.
func datetime(typeName, layout string, parts ...any) expression {
	special := []string{"infinity", "-infinity", "0044-03-15 BC", "0001-01-01 BC", "0001-01-01", "9999-12-31", "10000-01-01"}
	if text, ok := parts[len(parts)-1].(string); ok {
		parts, special = parts[:len(parts)-1], []string{text}
	}
	return rapid.OneOf(cast(typeName, format(layout, parts...)), cast(typeName, format(layout, parts...)),
		literal(typeName, rapid.SampledFrom(special)))
}

func row(typeName string, fields ...expression) expression {
	return nullable(typeName, rapid.Custom(func(t *rapid.T) string {
		parts := make([]string, len(fields))
		for i, f := range fields {
			parts[i] = f.Draw(t, "field")
		}
		return "ROW(" + strings.Join(parts, ", ") + ")::" + typeName
	}))
}

func rangeOf(typeName string, value expression) expression {
	return nullable(typeName, rapid.Custom(func(t *rapid.T) string {
		a, b := value.Draw(t, "a"), value.Draw(t, "b")
		brackets := rapid.SampledFrom([]string{"[]", "[)", "(]", "()"}).Draw(t, "brackets")
		switch rapid.IntRange(0, 6).Draw(t, "shape") {
		case 0:
			return "'empty'::" + typeName
		case 1:
			return fmt.Sprintf("%s(NULL, %s, '%s')", typeName, a, brackets)
		case 2:
			return fmt.Sprintf("%s(%s, NULL, '%s')", typeName, a, brackets)
		default:
			return fmt.Sprintf("%[1]s(least(%[2]s, %[3]s), greatest(%[2]s, %[3]s), '%[4]s')", typeName, a, b, brackets)
		}
	}))
}

func multirangeOf(typeName string, part expression) expression {
	return nullable(typeName, rapid.Map(rapid.SliceOfN(part, 0, 3), func(parts []string) string {
		for i, p := range parts {
			parts[i] = "coalesce(" + p + ", 'empty')"
		}
		return typeName + "(" + strings.Join(parts, ", ") + ")"
	}))
}

// arrayOf generates arrays of up to two dimensions, with bounds of their own now and then.
func arrayOf(element string, value expression) expression {
	typeName := element + "[]"
	return nullable(typeName, rapid.Custom(func(t *rapid.T) string {
		if element == "int2vector" || element == "oidvector" { // ARRAY[] takes these for a dimension more
			return quote(rapid.SampledFrom([]string{`{}`, `{"1 2",NULL,3}`, `[0:0]={"7 8 9"}`}).Draw(t, "vectors")) + "::" + typeName
		}
		dimension := func(n int, item func() string) string {
			items := make([]string, n)
			for i := range items {
				items[i] = item()
			}
			return "[" + strings.Join(items, ", ") + "]"
		}
		draw := func() string { return value.Draw(t, "element") }
		n, inner := rapid.IntRange(0, 3).Draw(t, "n"), rapid.IntRange(0, 2).Draw(t, "inner")
		bounds := fmt.Sprintf("[-1:%d]", n-2)
		items := dimension(n, draw)
		if inner > 0 {
			bounds += fmt.Sprintf("[7:%d]", 6+inner)
			items = dimension(n, func() string { return dimension(inner, draw) })
		}
		sql := "(ARRAY" + items + "::" + typeName + ")"
		if n > 0 && rapid.Bool().Draw(t, "bounded") {
			return "(" + quote(bounds+"=") + " || " + sql + "::text)::" + typeName
		}
		return sql
	}))
}
