package app

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/wal"
	"github.com/reactive-gw/reactive-gw/wal/values"
)

// served is what the configuration means in this database.
type served struct {
	types    *values.Catalog
	channels []fanout.Channel
	wanted   []wal.WantedTable
	matches  snapshotMatches
	ingested []ingested // their channels are not among channels
	lookups  []*lookup  // of all channels
	findings []wal.Finding
}

// unpublished are the tables that the log is not asked about.
func (s *served) unpublished() map[wal.TableName]bool {
	tables := map[wal.TableName]bool{}
	for _, entry := range s.ingested {
		if entry.table != nil {
			tables[entry.table.TableName] = true
		}
	}
	return tables
}

// wants is what the database has to have.
func (s *served) wants(cfg *config.Config) wal.Wanted {
	return wal.Wanted{Slot: cfg.Slot, Publication: cfg.Publication, Tables: s.wanted, NoTables: len(s.ingested) > 0}
}

// allChannels are those of the log and the others.
func (s *served) allChannels() []fanout.Channel {
	all := slices.Clone(s.channels)
	for _, entry := range s.ingested {
		entry.channel.Beside = true
		all = append(all, entry.channel)
	}
	return all
}

// resolve looks the configured tables and columns up in the catalog. What is not there is a *config.Error with the place
// in the file. The path is for asking what queries mean.
func resolve(ctx context.Context, cfg *config.Config, functions Functions, facts *wal.Facts, path *queryPath, log *zap.Logger) (*served, error) {
	types := values.NewCatalog(values.Options{BigintAsString: cfg.BigintAs == config.BigintAsString})
	if cfg.Reactive == nil {
		return everyTable(facts, types, log), nil
	}
	r := &resolver{ctx: ctx, cfg: cfg, functions: functions, facts: facts, path: path, served: &served{types: types, matches: snapshotMatches{}}}
	for i := range cfg.Reactive {
		r.entry(i)
	}
	if r.err != nil {
		return nil, r.err
	}
	if err := config.NewError(r.problems...); err != nil {
		return nil, err
	}
	r.served.watchLookups(facts, cfg.Publication)
	return r.served, nil
}

// everyTable is what an absent reactive section stands for: each table of the publication, by its foreign-key and
// primary-key columns, under its own name, or with its schema where two tables share one.
func everyTable(facts *wal.Facts, types *values.Catalog, log *zap.Logger) *served {
	s := &served{types: types}
	tables := facts.Candidates()
	named := map[string]int{}
	for _, t := range tables {
		named[t.Name]++
	}
	var keyless, scopeless []string
	for _, t := range facts.Tables {
		if len(t.PrimaryKey) == 0 && !t.Extension && (facts.Publication == nil || facts.Publication.Includes(t)) {
			keyless = append(keyless, t.String())
		}
	}
	for _, t := range tables {
		scopes := defaultScopes(t)
		if len(scopes) == 0 {
			scopeless = append(scopeless, t.String())
			continue
		}
		name := t.Name
		if named[name] > 1 {
			name = t.String()
		}
		s.add(fanout.Channel{Name: name, Schema: t.Schema, Table: t.Name, Scopes: scopes}, t, "")
		s.wanted[len(s.wanted)-1].Optional = true
	}
	notServed(log, "they have no primary key, so clients could not tell their rows apart", keyless)
	notServed(log, "none of their key columns can be a scope", scopeless)
	return s
}

func notServed(log *zap.Logger, because string, tables []string) {
	if len(tables) > 0 {
		log.Warn("tables are not served", zap.String("because", because), zap.Int("count", len(tables)), zap.String("tables", wal.Some(tables)))
	}
}

func (s *served) add(ch fanout.Channel, t *wal.TableInfo, rowSecurity config.RowSecurity) {
	s.channels = append(s.channels, ch)
	var columns []string
	for _, scope := range ch.Scopes {
		if !scope.Resolved {
			columns = append(columns, scope.Column)
		}
	}
	for _, input := range slices.Concat(ch.FilterColumns, ch.ResolverColumns) {
		columns = append(columns, input.Column)
	}
	s.want(t, rowSecurity, columns...).Watched = false
}

// want adds a table, whose rows nobody is sent, to what is captured. Its policies have to hold if one entry says so.
func (s *served) want(t *wal.TableInfo, rowSecurity config.RowSecurity, columns ...string) *wal.WantedTable {
	i := slices.IndexFunc(s.wanted, func(w wal.WantedTable) bool { return w.TableName == t.TableName })
	if i < 0 {
		i = len(s.wanted)
		s.wanted = append(s.wanted, wal.WantedTable{TableInfo: t, Watched: true, RowSecurityBypassed: true})
	}
	if rowSecurity != config.RowSecurityBypassed {
		s.wanted[i].RowSecurityBypassed = false
	}
	s.wanted[i].Scopes = append(s.wanted[i].Scopes, columns...)
	return &s.wanted[i]
}

// defaultScopes are the foreign-key and primary-key columns whose types can be scopes.
func defaultScopes(t *wal.TableInfo) []fanout.Scope {
	var scopes []fanout.Scope
	for _, name := range slices.Compact(slices.Concat(t.ForeignKeys, t.PrimaryKey)) {
		column := t.Column(name)
		kind, ok := scopeType(column)
		known := slices.ContainsFunc(scopes, func(s fanout.Scope) bool { return s.Column == name })
		if ok && !known {
			scopes = append(scopes, fanout.Scope{Column: name, Type: kind, TypeOID: column.TypeOID})
		}
	}
	return scopes
}

// scopeType says how values of a column are compared, and false where equality is not that of the printed text.
func scopeType(c *wal.ColumnInfo) (fanout.ScopeType, bool) {
	if c.Kind == 'e' {
		return fanout.Text, true
	}
	switch c.BaseOID {
	case pgtype.Int2OID:
		return fanout.Int2, true
	case pgtype.Int4OID:
		return fanout.Int4, true
	case pgtype.Int8OID:
		return fanout.Int8, true
	case pgtype.UUIDOID:
		return fanout.UUID, true
	case pgtype.BoolOID:
		return fanout.Bool, true
	case pgtype.TextOID, pgtype.VarcharOID:
		return fanout.Text, c.Deterministic
	}
	return 0, false
}

// resolver gathers every problem of the section before it gives up.
type resolver struct {
	ctx       context.Context // of resolve
	cfg       *config.Config
	functions Functions
	facts     *wal.Facts
	path      *queryPath
	err       error // of the connection
	served    *served
	problems  []config.Problem
	labels    map[uint32][]string // of enums that were asked about
}

func (r *resolver) problem(path, fix, format string, args ...any) {
	r.problems = append(r.problems, r.cfg.Problem(path, fmt.Sprintf(format, args...), fix))
}

func (r *resolver) entry(i int) {
	entry, path := r.cfg.Reactive[i], fmt.Sprintf("reactive[%d]", i)
	t := r.facts.Table(wal.TableName(entry.Table))
	if entry.Source != config.SourceWAL {
		r.ingestedEntry(entry, t, path)
		return
	}
	if t == nil {
		var names []string
		for _, t := range r.facts.Tables {
			names = append(names, t.String())
		}
		r.problem(path+".table", insteadOf(entry.Table.Schema+"."+entry.Table.Name, names), "there is no table %s", entry.Table)
		return
	}
	r.served.add(r.channel(entry, t, path), t, entry.RowSecurity)
	r.members(entry)
}

// members has the table of an entry's members published, so that its changes are known.
func (r *resolver) members(entry config.Reactive) {
	if entry.Authorize == nil || entry.Authorize.Member == nil {
		return
	}
	m := entry.Authorize.Member
	// One that is no table, or lacks the columns, the authorizer's own check refuses.
	if members := r.facts.Table(wal.TableName(m.Table)); members != nil && members.Column(m.Scope) != nil && members.Column(m.User) != nil {
		r.served.want(members, entry.RowSecurity, m.Scope, m.User)
	}
}

// channel is what an entry means for a table that is there.
func (r *resolver) channel(entry config.Reactive, t *wal.TableInfo, path string) fanout.Channel {
	sources := r.scopeSources(entry, t, typesOf(t), path)
	scopes := r.scopes(entry, t, path, sources)
	for j, name := range entry.Columns.Exclude {
		switch place := fmt.Sprintf("%s.columns.exclude[%d]", path, j); {
		case t.Column(name) == nil:
			r.problem(place, insteadOf(name, columnNames(t)), "table %s has no column %s", t, name)
		case slices.Contains(t.PrimaryKey, name):
			r.problem(place, "leave it in: clients tell rows apart by it", "column %s is part of the primary key", name)
		}
	}
	ch := fanout.Channel{
		Name: entry.Channel, Schema: t.Schema, Table: t.Name, Scopes: scopes, Exclude: entry.Columns.Exclude, Columns: columnNames(t),
		Snapshot: r.snapshot(entry, t, path), BatchEvery: entry.Batch,
	}
	ch.Filter, ch.FilterColumns = r.filter(entry, typesOf(t), columnNames(t), path, r.known(entry, t))
	if sources != nil {
		ch.Resolver, ch.ResolverColumns = sources.resolver(), sources.columns
		r.snapshotBy(entry, sources, scopes)
	}
	return ch
}

// policies refuses to read tables whose policies would have to hold. below: the tables that inherit from them are read as well.
func (r *resolver) policies(entry config.Reactive, place, use string, below bool, tables ...wal.TableName) (ok bool) {
	for _, t := range tables {
		why, fix := r.facts.Policies(t, use, entry.RowSecurity == config.RowSecurityBypassed, below)
		if why != "" {
			r.problem(place, fix, "%s", why)
			return false
		}
	}
	return true
}

// columnTypes finds a column's type.
type columnTypes func(column string) (oid uint32, ok bool)

func typesOf(t *wal.TableInfo) columnTypes {
	return func(name string) (uint32, bool) {
		if column := t.Column(name); column != nil {
			return column.TypeOID, true
		}
		return 0, false
	}
}

// filter is nil where every client sees every row. columns are those that there are.
func (r *resolver) filter(entry config.Reactive, typeOf columnTypes, columns []string, path string, known *auth.Types) (fanout.RowFilter, []fanout.InputColumn) {
	if f := r.functions.Channels[entry.Channel]; f.FilterRow != nil {
		place := functionPath(entry.Channel, "FilterColumns")
		return filterFunction{f, r.served.types}, r.inputs(f.FilterColumns, entry.Table, typeOf, columns, place)
	}
	if entry.FilterRow == "" {
		return nil, nil
	}
	place := path + ".filterRow"
	filter, err := auth.NewFilter(entry.FilterRow, known)
	if err != nil {
		r.problem(place, mismatchFix(err, `write a CEL expression that comes to a bool, such as "!row.private || row.author_id == ctx.sub"`), "%v", err)
		return nil, nil
	}
	return rowFilter{filter, r.served.types}, r.inputs(filter.Columns(), entry.Table, typeOf, columns, place)
}

// inputs looks up the columns that an expression names.
func (r *resolver) inputs(names []string, table config.TableName, typeOf columnTypes, columns []string, place string) []fanout.InputColumn {
	var looked []fanout.InputColumn
	for _, name := range names {
		oid, ok := typeOf(name)
		if !ok {
			r.problem(place, insteadOf(name, columns), "table %s.%s has no column %s", table.Schema, table.Name, name)
			continue
		}
		looked = append(looked, fanout.InputColumn{Column: name, TypeOID: oid})
	}
	return looked
}

func (r *resolver) snapshot(entry config.Reactive, t *wal.TableInfo, path string) *fanout.SnapshotOptions {
	if entry.Snapshot == nil {
		return nil
	}
	options := &fanout.SnapshotOptions{Limit: entry.Snapshot.Limit}
	for _, o := range entry.Snapshot.OrderBy {
		if t.Column(o.Column) == nil {
			r.problem(path+".snapshot.orderBy", insteadOf(o.Column, columnNames(t)), "table %s has no column %s", t, o.Column)
		}
		options.OrderBy = append(options.OrderBy, fanout.Order(o))
	}
	return options
}

func (r *resolver) scopes(entry config.Reactive, t *wal.TableInfo, path string, sources *scopeSources) []fanout.Scope {
	if entry.Scopes == nil {
		scopes := defaultScopes(t)
		if len(scopes) == 0 {
			r.problem(path, "name the columns in scopes", "table %s has no key column that can be a scope", t)
		}
		return scopes
	}
	var scopes []fanout.Scope
	for j, name := range entry.Scopes {
		place, column := fmt.Sprintf("%s.scopes[%d]", path, j), t.Column(name)
		if sources.of(name) != nil {
			scopes = append(scopes, fanout.Scope{Column: name, Type: sources.typeOf(name, column), Resolved: true})
			continue
		}
		if column == nil && sources != nil && sources.broken {
			continue // it may be what the broken one was to serve
		}
		if column == nil {
			r.problem(place, insteadOf(name, columnNames(t)), "table %s has no column %s", t, name)
			continue
		}
		kind, ok := scopeType(column)
		if !ok {
			r.problem(place, "use a column of type smallint, integer, bigint, uuid, boolean, text, varchar or an enum",
				"column %s is %s, whose values cannot be compared by their text", name, column.TypeName)
			continue
		}
		scopes = append(scopes, fanout.Scope{Column: name, Type: kind, TypeOID: column.TypeOID})
	}
	return scopes
}

func columnNames(t *wal.TableInfo) []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// insteadOf says what to write: the nearest name, or what there is to choose from.
func insteadOf(name string, known []string) string {
	if best, ok := config.Nearest(name, known); ok {
		return fmt.Sprintf("write %s", best)
	}
	const most = 12
	if len(known) == 0 {
		return "create it first"
	}
	if len(known) > most {
		known = append(slices.Clone(known[:most]), "...")
	}
	return "write one of " + strings.Join(known, ", ")
}
