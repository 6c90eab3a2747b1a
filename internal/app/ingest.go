package app

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/cdc/ingest"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/wal"
	"github.com/reactive-gw/reactive-gw/wal/values"
)

// ingested is a channel whose changes do not come from the log.
type ingested struct {
	channel fanout.Channel
	source  ingest.Source
	table   *wal.TableInfo // nil where there is no such table
	path    string         // of the entry in the configuration
}

// ingestedEntry is entry for a table that the log is not asked about, and which need not be one.
func (r *resolver) ingestedEntry(entry config.Reactive, t *wal.TableInfo, path string) {
	if t == nil {
		t = &wal.TableInfo{TableName: wal.TableName{Schema: entry.Table.Schema, Name: entry.Table.Name}}
		if entry.Snapshot != nil {
			r.problem(path+".snapshot", "delete the key", "there is no table %s that a snapshot could be taken of", entry.Table)
		}
		ch := fanout.Channel{
			Name: entry.Channel, Schema: t.Schema, Table: t.Name, Exclude: entry.Columns.Exclude, BatchEvery: entry.Batch,
		}
		typeOf := func(name string) (uint32, bool) {
			if slices.Contains(entry.Scopes, name) {
				return pgtype.TextOID, true
			}
			return pgtype.JSONOID, true
		}
		sources := r.scopeSources(entry, t, typeOf, path)
		for _, name := range entry.Scopes {
			ch.Scopes = append(ch.Scopes, fanout.Scope{
				Column: name, Type: fanout.Text, TypeOID: pgtype.TextOID, Resolved: len(sources.of(name)) > 0,
			})
		}
		ch.Filter, ch.FilterColumns = r.filter(entry, typeOf, nil, path, r.known(entry, nil))
		if sources != nil {
			ch.Resolver, ch.ResolverColumns = sources.resolver(), sources.columns
		}
		r.served.ingested = append(r.served.ingested, ingested{ch, ingest.Source(entry.Source), nil, path})
		return
	}
	if p := r.facts.Publication; p != nil && (p.AllTables || p.Tables[t.TableName]) {
		r.problem(path+".source", unpublishFix(r.cfg.Publication, t.TableName, p)+", or delete the key",
			"table %s is in publication %s, so its changes come from the log", t, r.cfg.Publication)
	}
	if entry.Snapshot != nil {
		r.policies(entry, path, "snapshots read it", false, t.TableName)
	}
	r.served.ingested = append(r.served.ingested, ingested{r.channel(entry, t, path), ingest.Source(entry.Source), t, path})
}

// unpublishFix is what has a table's changes come from the log no more.
func unpublishFix(publication string, t wal.TableName, p *wal.PublicationFacts) string {
	if p.AllTables {
		return "make a publication of the tables that the log is to tell of, instead of FOR ALL TABLES"
	}
	return fmt.Sprintf("ALTER PUBLICATION %s DROP TABLE ONLY %s", wal.Quote(publication), t.Quoted())
}

// newIngest makes what takes the events of every source but the log. The types of the tables' columns are read with q.
func newIngest(ctx context.Context, cfg *config.Config, s *served, facts *wal.Facts, q wal.Querier, o ingest.Options) (*ingest.Ingest, error) {
	var problems []config.Problem
	for i, entry := range s.ingested {
		t := ingest.Table{OID: uint32(i + 1), Schema: entry.channel.Schema, Name: entry.channel.Table, Source: entry.source}
		if entry.table == nil {
			t.Columns = freeColumns(entry.channel)
		} else {
			t.OID = entry.table.OID
			var err error
			if t.Columns, err = catalogColumns(ctx, entry, s.types, q); err != nil {
				return nil, err
			}
		}
		for _, c := range t.Columns {
			if c.Filter && c.FromJSON == nil && entry.table != nil && !isDocument(s.types.Base(c.TypeOID)) {
				problems = append(problems, cfg.Problem(entry.path+".filterRow",
					fmt.Sprintf("column %s is an array or composite, which filterRow cannot look at in events", c.Name), "leave it out, or let the table come from the log"))
			}
		}
		o.Tables = append(o.Tables, t)
	}
	o.Captured = func(schema, name string) bool {
		table := wal.TableName{Schema: schema, Name: name}
		captured := slices.ContainsFunc(s.wanted, func(t wal.WantedTable) bool { return t.TableName == table })
		return captured || facts.Publication != nil && facts.Publication.Tables[table]
	}
	return ingest.New(o), config.NewError(problems...)
}

func isDocument(oid uint32) bool { return oid == pgtype.JSONOID || oid == pgtype.JSONBOID }

// looked are the columns that expressions look at.
func looked(ch fanout.Channel) []fanout.InputColumn {
	return slices.Concat(ch.FilterColumns, ch.ResolverColumns)
}

// freeColumns are those of what is no table: its scopes are text, and everything else is JSON.
func freeColumns(ch fanout.Channel) []ingest.Column {
	var columns []ingest.Column
	add := func(c ingest.Column) {
		if i := slices.IndexFunc(columns, func(known ingest.Column) bool { return known.Name == c.Name }); i >= 0 {
			columns[i].Filter = columns[i].Filter || c.Filter
			return
		}
		columns = append(columns, c)
	}
	for _, scope := range ch.Scopes {
		if scope.Resolved {
			continue
		}
		canonical := func(text string, _ bool) (string, bool) { return scope.Type.Canonical(text) }
		add(ingest.Column{Column: cdc.Column{Name: scope.Column, TypeOID: scope.TypeOID}, FromJSON: canonical, Scope: true, AsSent: true})
	}
	for _, f := range looked(ch) {
		add(ingest.Column{Column: cdc.Column{Name: f.Column, TypeOID: f.TypeOID}, Filter: true})
	}
	for _, name := range ch.Exclude {
		add(ingest.Column{Column: cdc.Column{Name: name, TypeOID: pgtype.JSONOID}})
	}
	return columns
}

// catalogColumns are those of a table, with the types that they have now.
func catalogColumns(ctx context.Context, entry ingested, types *values.Catalog, q wal.Querier) ([]ingest.Column, error) {
	var oids []uint32
	for _, c := range entry.table.Columns {
		oids = append(oids, c.TypeOID)
	}
	if err := types.Load(ctx, q, oids); err != nil {
		return nil, err
	}
	var columns []ingest.Column
	for _, c := range entry.table.Columns {
		column := ingest.Column{
			Column: cdc.Column{
				Name: c.Name, TypeOID: c.TypeOID, Key: slices.Contains(entry.table.PrimaryKey, c.Name), JSON: types.Encoder(c.TypeOID),
			},
			Filter: slices.ContainsFunc(looked(entry.channel), func(f fanout.InputColumn) bool { return f.Column == c.Name }),
		}
		if from := types.FromJSON(c.TypeOID); from != nil {
			column.FromJSON = ingest.FromJSON(from)
		}
		for _, scope := range entry.channel.Scopes {
			if scope.Column == c.Name {
				column.Scope, column.FromJSON = true, canonicalScope(column.FromJSON, scope.Type)
			}
		}
		columns = append(columns, column)
	}
	return columns, nil
}

// canonicalScope gives the text that a client's scope value is compared with.
func canonicalScope(from ingest.FromJSON, scope fanout.ScopeType) ingest.FromJSON {
	return func(text string, quoted bool) (string, bool) {
		text, ok := from(text, quoted)
		if !ok {
			return "", false
		}
		return scope.Canonical(text)
	}
}

const rowTriggers = `
select exists (select from pg_catalog.pg_trigger t where t.tgrelid = $1 and not t.tgisinternal and t.tgenabled <> 'D' and t.tgtype & 1 = 1)`

// ingestFindings judges the tables whose changes do not come from the log.
func (s *served) ingestFindings(ctx context.Context, role string, pool *pgxpool.Pool) ([]wal.Finding, error) {
	var findings []wal.Finding
	for _, entry := range s.ingested {
		if entry.table == nil {
			continue
		}
		f := wal.Finding{Check: "table " + entry.table.String(), Detail: "its changes come by " + string(entry.source)}
		var triggers bool
		if err := pool.QueryRow(ctx, rowTriggers, entry.table.OID).Scan(&triggers); err != nil {
			return nil, fmt.Errorf("look for triggers of %s: %w", entry.table, err)
		}
		switch {
		case entry.channel.Snapshot != nil && entry.table.Unreadable:
			f.Level, f.Detail = wal.Warn, "role "+role+" may not read it: events of it flow, but its snapshots fail"
			f.Fix = fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s; GRANT SELECT ON %s TO %[2]s;",
				pgx.Identifier{entry.table.Schema}.Sanitize(), pgx.Identifier{role}.Sanitize(), entry.table.Quoted())
		case entry.source == ingest.Notify && !triggers:
			f.Level, f.Detail = wal.Warn, "has no trigger that could notify of its changes"
			f.Fix = fmt.Sprintf("-- run `reactive-gw migrate notify-trigger '%s'`", config.TableName(entry.table.TableName))
		}
		findings = append(findings, f)
	}
	return findings, nil
}

// minToken is the shortest token that is not guessed, in bytes.
const minToken = 16

// ingestToken reads the token of the hook; it is empty where there is no hook.
func ingestToken(cfg *config.Config) (string, error) {
	if cfg.Ingest == nil || cfg.Ingest.Hook == nil {
		return "", nil
	}
	const path, fix = "ingest.hook.tokenEnv", "set it to a random text, for example the output of: openssl rand -hex 32"
	variable := cfg.Ingest.Hook.TokenEnv
	token, set := os.LookupEnv(variable)
	switch {
	case !set:
		return "", config.NewError(cfg.Problem(path, "the environment variable "+variable+" is not set", fix))
	case len(token) < minToken:
		return "", config.NewError(cfg.Problem(path, fmt.Sprintf("the environment variable %s has less than %d characters", variable, minToken), fix))
	}
	return token, nil
}

// newListener makes what hears the notifications, nil where there are none to hear.
func newListener(cfg *config.Config, s *served, in *ingest.Ingest, hub *fanout.Hub, log *zap.Logger) *wal.Listener {
	if cfg.Ingest == nil || cfg.Ingest.Notify == nil {
		return nil
	}
	var channels []string
	for _, entry := range s.ingested {
		if entry.source == ingest.Notify {
			channels = append(channels, entry.channel.Name)
		}
	}
	return &wal.Listener{
		URL: cfg.DatabaseURL.Reveal(), Channel: cfg.Ingest.Notify.Channel, Notified: in.Notified, Log: log,
		Listening: func(again bool) {
			if again {
				in.Missed()
				log.Error("notifications may have been missed: the views that they tell of begin anew", zap.Strings("channels", channels))
			}
			hub.Gap(channels...)
		},
	}
}

// ingestHandler takes events by POST, or says that the gateway is starting.
func (s *server) ingestHandler(w http.ResponseWriter, r *http.Request) {
	if p := s.running.Load(); p != nil {
		p.hook.ServeHTTP(w, r)
		return
	}
	ingest.Refuse(w, ingest.ErrNotLive)
}
