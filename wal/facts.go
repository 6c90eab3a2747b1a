package wal

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// Facts is what the server says of itself, as far as a gateway depends on it. It is read in a few queries and judged,
// without the server, by findings.
type Facts struct {
	Version     int // server_version_num
	WALLevel    string
	InRecovery  bool
	Encoding    string // the database's
	Role        string
	Superuser   bool
	Replication bool // the role may open replication connections
	// Refusal is what the server said to one that was tried; Untried is why there was no answer. Both are nil where Replication is.
	Refusal, Untried error
	FreeSlots        int
	FreeSenders      int
	MaxSlots         int
	MaxSenders       int
	Slot             *SlotFacts
	Publication      *PublicationFacts
	ForAll           []string     // publications FOR ALL TABLES
	Outbox           *OutboxFacts // nil while there is no table mtbreactive.outbox
	Tables           []*TableInfo
	Nameless         []uint32 // tables that are not among them: a name of theirs has no Unicode
	ProxyInBetween   bool     // the backend that answers is not the one that the connection was given
	CurrentDatabase  string
	// Creator is the database's owner where the role may create nothing in the database, and empty where it may.
	Creator  string
	Settings Settings
	// Others are publications of others that forbid REPLICA IDENTITY FULL, by the relation.
	Others map[uint32]forbids
	// RowSecurity is of tables that have any, or are above some that have.
	RowSecurity map[TableName]RowSecurity
	// StrangersCode is of tables that only have any.
	StrangersCode map[TableName]StrangersCode
}

// Table returns the table of a name, or nil.
func (f *Facts) Table(name TableName) *TableInfo {
	i := slices.IndexFunc(f.Tables, func(t *TableInfo) bool { return t.TableName == name })
	if i < 0 {
		return nil
	}
	return f.Tables[i]
}

// SlotFacts describes the replication slot.
type SlotFacts struct {
	Plugin    string
	Logical   bool
	Database  string
	Temporary bool
	Active    bool
	ActivePID int32
	WALStatus string // reserved, extended, unreserved or lost
	Confirmed cdc.LSN
	LogEnd    cdc.LSN // of what is flushed of the server's log
	Retained  int64   // bytes of log that the slot holds back
	// Invalidated is why the slot is lost, as versions from 17 on say it; empty where it is not, or not known.
	Invalidated string
	Failover    bool  // standbys may have a copy; only from version 17 on
	KeepSize    int64 // max_slot_wal_keep_size in bytes: with more log than that it is lost; negative is without limit
	ServerStart time.Time
}

// PublicationFacts describes the publication.
type PublicationFacts struct {
	AllTables bool
	// Owner is its owner where the gateway's role may not act as it, and empty where it may.
	Owner string
	// Stranger is its owner where that is neither the gateway's role, nor a member of it, nor a superuser, nor the owner of the database.
	Stranger  string
	ViaRoot   bool
	Insert    bool
	Update    bool
	Delete    bool
	Truncate  bool
	Tables    map[TableName]bool
	Filtered  map[TableName]bool // tables with a row filter
	Columns   map[TableName][]string
	Listed    map[TableName]bool // tables with a column list
	Generated bool               // stored generated columns are published
	// Waiting are tables that the gateway, who made it, has yet to add.
	Waiting []TableName
	// Fresh are tables that entered it so recently that transactions may still run which wrote to them before.
	Fresh map[TableName]bool
}

func (p *PublicationFacts) all() bool { return p.Insert && p.Update && p.Delete && p.Truncate }

// Includes tells whether the table's changes are published under its own name.
func (p *PublicationFacts) Includes(t *TableInfo) bool {
	return p.Tables[t.TableName] && (!t.Partitioned || p.ViaRoot)
}

const serverFacts = `
select pg_catalog.current_setting('server_version_num')::pg_catalog.int4, pg_catalog.current_setting('wal_level'), pg_catalog.pg_is_in_recovery(),
       (select pg_catalog.pg_encoding_to_char(encoding) from pg_catalog.pg_database where datname = pg_catalog.current_database()),
       current_user::pg_catalog.text, r.rolsuper, r.rolreplication or r.rolsuper,
       pg_catalog.current_setting('max_replication_slots')::pg_catalog.int4,
       pg_catalog.current_setting('max_replication_slots')::pg_catalog.int4 - (select pg_catalog.count(*) from pg_catalog.pg_replication_slots),
       pg_catalog.current_setting('max_wal_senders')::pg_catalog.int4,
       pg_catalog.current_setting('max_wal_senders')::pg_catalog.int4 - (select pg_catalog.count(*) from pg_catalog.pg_stat_replication),
       pg_catalog.pg_backend_pid(), pg_catalog.current_database(),
       (select case when pg_catalog.has_database_privilege(d.oid, 'CREATE') then '' else pg_catalog.pg_get_userbyid(d.datdba) end
        from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
from pg_catalog.pg_roles r where r.rolname = current_user`

const slotFacts = `
select coalesce(plugin, ''), slot_type = 'logical', coalesce(database, ''), temporary, active, coalesce(active_pid, 0),
       coalesce(wal_status, 'lost'), coalesce(confirmed_flush_lsn, '0/0')::pg_catalog.text,
       coalesce(case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() else pg_catalog.pg_current_wal_flush_lsn() end,
           '0/0')::pg_catalog.text,
       coalesce(pg_catalog.pg_wal_lsn_diff(
           case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() else pg_catalog.pg_current_wal_lsn() end,
           restart_lsn), 0)::pg_catalog.int8,
       coalesce(pg_catalog.to_jsonb(s) ->> 'invalidation_reason', ''), coalesce((pg_catalog.to_jsonb(s) ->> 'failover')::pg_catalog.bool, false),
       (select case when setting::pg_catalog.int8 < 0 then -1 else setting::pg_catalog.int8 << 20 end
        from pg_catalog.pg_settings where name = 'max_slot_wal_keep_size'),
       pg_catalog.pg_postmaster_start_time()
from pg_catalog.pg_replication_slots s where slot_name = $1`

// publicationFacts asks for a column that only version 18 has by way of JSON.
const publicationFacts = `
select puballtables, pubviaroot, pubinsert, pubupdate, pubdelete, pubtruncate,
       coalesce(pg_catalog.to_jsonb(p) ->> 'pubgencols', 'n') = 's',
       case when pg_catalog.pg_has_role(pubowner, 'USAGE') then '' else pg_catalog.pg_get_userbyid(pubowner) end,
       coalesce(pg_catalog.obj_description(p.oid, 'pg_publication'), ''),
       case when o.rolsuper or pubowner = d.datdba or pg_catalog.pg_has_role(pubowner, session_user, 'MEMBER') then '' else o.rolname end
from pg_catalog.pg_publication p
join pg_catalog.pg_roles o on o.oid = pubowner
join pg_catalog.pg_database d on d.datname = pg_catalog.current_database()
where pubname = $1`

// publicationTables has row filters and column lists from version 15 on.
const publicationTables = `
select t.schemaname, t.tablename, false, null::pg_catalog.text[], false
from pg_catalog.pg_publication_tables t where t.pubname = $1`

const publicationTables15 = `
select t.schemaname, t.tablename, t.rowfilter is not null, t.attnames::pg_catalog.text[],
       exists (select from pg_catalog.pg_publication_rel r
               join pg_catalog.pg_publication p on p.oid = r.prpubid
               where p.pubname = t.pubname and r.prattrs is not null
                 and (r.prrelid = c.oid or r.prrelid in (select a.relid from pg_catalog.pg_partition_ancestors(c.oid) a)))
from pg_catalog.pg_publication_tables t
join pg_catalog.pg_namespace n on n.nspname = t.schemaname
join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = t.tablename
where t.pubname = $1`

// freshTables finds those that were added by a transaction that is not older than the oldest that runs.
const freshTables = `
select n.nspname, c.relname
from pg_catalog.pg_publication p
join pg_catalog.pg_publication_rel r on r.prpubid = p.oid
join pg_catalog.pg_class c on c.oid = r.prrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where p.pubname = $1 and pg_catalog.age(r.xmin)
    <= pg_catalog.age(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::pg_catalog.xid)`

// Backend is what readFacts needs of a connection: queries and the process that the server said it would be.
type Backend interface {
	Querier
	BackendPID() uint32
}

func readFacts(ctx context.Context, b Backend, slot, publication string) (*Facts, error) {
	f := &Facts{}
	var pid uint32
	err := each(ctx, b, "read server settings", serverFacts, nil, func(rows pgx.Rows) error {
		return rows.Scan(&f.Version, &f.WALLevel, &f.InRecovery, &f.Encoding, &f.Role, &f.Superuser, &f.Replication,
			&f.MaxSlots, &f.FreeSlots, &f.MaxSenders, &f.FreeSenders, &pid, &f.CurrentDatabase, &f.Creator)
	})
	if err != nil {
		return nil, err
	}
	f.ProxyInBetween = pid != b.BackendPID()
	if f.Slot, err = readSlot(ctx, b, slot); err != nil {
		return nil, err
	}
	decoder, _ := newDecoder(f.Encoding)
	if f.Nameless, err = decoder.nameless(ctx, b); err != nil {
		return nil, err
	}
	if f.Publication, err = readPublication(ctx, b, publication, f.Version, decoder.published(f.Version)); err != nil {
		return nil, err
	}
	if f.Others, err = readOthers(ctx, b, publication, f.Version, decoder.unknown("p.pubname::pg_catalog.text")); err != nil {
		return nil, err
	}
	if f.ForAll, err = readForAll(ctx, b, decoder.unknown("p.pubname::pg_catalog.text")); err != nil {
		return nil, err
	}
	if f.Outbox, err = readOutbox(ctx, b); err != nil {
		return nil, err
	}
	settings, err := readSettings(ctx, b)
	if err != nil {
		return nil, err
	}
	f.Settings = *settings
	if f.RowSecurity, err = readRowSecurity(ctx, b); err != nil {
		return nil, err
	}
	if f.StrangersCode, err = readStrangersCode(ctx, b); err != nil {
		return nil, err
	}
	f.Tables, err = loadTables(ctx, b, f.Nameless)
	return f, err
}

// readSlot returns nil where there is no such slot.
func readSlot(ctx context.Context, q Querier, name string) (*SlotFacts, error) {
	var slot *SlotFacts
	err := each(ctx, q, "read replication slot", slotFacts, []any{name}, func(rows pgx.Rows) error {
		s := &SlotFacts{}
		var confirmed, logEnd string
		err := rows.Scan(&s.Plugin, &s.Logical, &s.Database, &s.Temporary, &s.Active, &s.ActivePID, &s.WALStatus, &confirmed, &logEnd,
			&s.Retained, &s.Invalidated, &s.Failover, &s.KeepSize, &s.ServerStart)
		if err == nil {
			s.Confirmed, err = cdc.ParseLSN(confirmed)
		}
		if err == nil {
			s.LogEnd, err = cdc.ParseLSN(logEnd)
		}
		slot = s
		return err
	})
	return slot, err
}

// readPublication returns nil where there is no such publication.
func readPublication(ctx context.Context, q Querier, name string, version int, where string) (*PublicationFacts, error) {
	var p *PublicationFacts
	err := each(ctx, q, "read publication", publicationFacts, []any{name}, func(rows pgx.Rows) error {
		p = &PublicationFacts{
			Tables: map[TableName]bool{}, Filtered: map[TableName]bool{}, Columns: map[TableName][]string{}, Listed: map[TableName]bool{}, Fresh: map[TableName]bool{},
		}
		var comment string
		err := rows.Scan(&p.AllTables, &p.ViaRoot, &p.Insert, &p.Update, &p.Delete, &p.Truncate, &p.Generated, &p.Owner, &comment, &p.Stranger)
		p.Waiting = parseWaiting(comment)
		return err
	})
	if err != nil || p == nil {
		return nil, err
	}
	tables := publicationTables
	if version >= 150000 {
		tables = publicationTables15
	}
	err = each(ctx, q, "read publication tables", tables+where, []any{name}, func(rows pgx.Rows) error {
		var t TableName
		var filtered, listed bool
		var columns []string
		if err := rows.Scan(&t.Schema, &t.Name, &filtered, &columns, &listed); err != nil {
			return err
		}
		p.Tables[t], p.Columns[t] = true, columns
		if filtered {
			p.Filtered[t] = true
		}
		if listed {
			p.Listed[t] = true
		}
		return nil
	})
	if err == nil {
		err = each(ctx, q, "read fresh publication tables", freshTables, []any{name}, func(rows pgx.Rows) error {
			var t TableName
			err := rows.Scan(&t.Schema, &t.Name)
			p.Fresh[t] = true
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("publication %s: %w", name, err)
	}
	return p, nil
}
