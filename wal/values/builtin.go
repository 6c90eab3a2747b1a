package values

import "github.com/jackc/pgx/v5/pgtype"

// builtinTypes returns the types whose OIDs are the same in every PostgreSQL (src/include/catalog/pg_type.dat), and
// their arrays. A built-in type that is not here, because a later PostgreSQL brought it, is loaded as any other.
func builtinTypes() []Type {
	scalars := [...]struct {
		oid   uint32
		kind  Kind
		name  string
		array uint32 // 0 for none
	}{
		{16, Base, "bool", 1000},
		{17, Base, "bytea", 1001},
		{18, Base, "char", 1002},
		{19, Base, "name", 1003},
		{20, Base, "int8", 1016},
		{21, Base, "int2", 1005},
		{22, Base, "int2vector", 1006},
		{23, Base, "int4", 1007},
		{24, Base, "regproc", 1008},
		{25, Base, "text", 1009},
		{26, Base, "oid", 1028},
		{27, Base, "tid", 1010},
		{28, Base, "xid", 1011},
		{29, Base, "cid", 1012},
		{30, Base, "oidvector", 1013},
		{114, Base, "json", 199},
		{142, Base, "xml", 143},
		{194, Base, "pg_node_tree", 0},
		{600, Base, "point", 1017},
		{601, Base, "lseg", 1018},
		{602, Base, "path", 1019},
		{603, Base, "box", 1020},
		{604, Base, "polygon", 1027},
		{628, Base, "line", 629},
		{650, Base, "cidr", 651},
		{700, Base, "float4", 1021},
		{701, Base, "float8", 1022},
		{718, Base, "circle", 719},
		{774, Base, "macaddr8", 775},
		{790, Base, "money", 791},
		{829, Base, "macaddr", 1040},
		{869, Base, "inet", 1041},
		{1033, Base, "aclitem", 1034},
		{1042, Base, "bpchar", 1014},
		{1043, Base, "varchar", 1015},
		{1082, Base, "date", 1182},
		{1083, Base, "time", 1183},
		{1114, Base, "timestamp", 1115},
		{1184, Base, "timestamptz", 1185},
		{1186, Base, "interval", 1187},
		{1266, Base, "timetz", 1270},
		{1560, Base, "bit", 1561},
		{1562, Base, "varbit", 1563},
		{1700, Base, "numeric", 1231},
		{1790, Base, "refcursor", 2201},
		{2202, Base, "regprocedure", 2207},
		{2203, Base, "regoper", 2208},
		{2204, Base, "regoperator", 2209},
		{2205, Base, "regclass", 2210},
		{2206, Base, "regtype", 2211},
		{2950, Base, "uuid", 2951},
		{2970, Base, "txid_snapshot", 2949},
		{3220, Base, "pg_lsn", 3221},
		{3361, Base, "pg_ndistinct", 0},
		{3402, Base, "pg_dependencies", 0},
		{3614, Base, "tsvector", 3643},
		{3615, Base, "tsquery", 3645},
		{3642, Base, "gtsvector", 3644},
		{3734, Base, "regconfig", 3735},
		{3769, Base, "regdictionary", 3770},
		{3802, Base, "jsonb", 3807},
		{3904, Range, "int4range", 3905},
		{3906, Range, "numrange", 3907},
		{3908, Range, "tsrange", 3909},
		{3910, Range, "tstzrange", 3911},
		{3912, Range, "daterange", 3913},
		{3926, Range, "int8range", 3927},
		{4072, Base, "jsonpath", 4073},
		{4089, Base, "regnamespace", 4090},
		{4096, Base, "regrole", 4097},
		{4191, Base, "regcollation", 4192},
		{4451, Multirange, "int4multirange", 6150},
		{4532, Multirange, "nummultirange", 6151},
		{4533, Multirange, "tsmultirange", 6152},
		{4534, Multirange, "tstzmultirange", 6153},
		{4535, Multirange, "datemultirange", 6155},
		{4536, Multirange, "int8multirange", 6157},
		{4600, Base, "pg_brin_bloom_summary", 0},
		{4601, Base, "pg_brin_minmax_multi_summary", 0},
		{5017, Base, "pg_mcv_list", 0},
		{5038, Base, "pg_snapshot", 5039},
		{5069, Base, "xid8", 271},
	}
	types := make([]Type, 0, 2*len(scalars))
	for _, s := range scalars {
		types = append(types, Type{OID: s.oid, Name: s.name, Kind: s.kind})
		if s.array != 0 {
			types = append(types, Type{OID: s.array, Name: "_" + s.name, Kind: Array, Elem: s.oid, Delim: delimiter(s.oid)})
		}
	}
	return types
}

// delimiter returns what stands between the elements of an array of the built-in type: a box has commas of its own.
func delimiter(oid uint32) byte {
	if oid == pgtype.BoxOID {
		return ';'
	}
	return ','
}
