package wal

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Removal is one thing that setup made, and how it is undone.
type Removal struct {
	What string
	// SQL undoes it. It is empty where Left says why it stays.
	SQL  string
	Left string
	// Advice is what an operator may do about what stays.
	Advice string
	// Owner is the role that may run the SQL, as superusers may; empty where a role with REPLICATION may.
	Owner string
	// Table is locked first, so that no vacuum is in the way; empty where no table is.
	Table string
}

// Remains is what is left in the database of what setup made.
type Remains struct {
	Role       string
	Roles      map[string]bool // as which the role may act, itself included
	Slot       *SlotFacts      // nil: there is none
	Remembered bool            // there is a table mtbreactive.setup
	Made       []RememberedMade
	Others     []string // slots of other gateways, which share the rest
	// Publications has the owners of the publications that exist, Members which tables are in them: "publication table".
	Publications map[string]string
	Members      map[string]bool
	Tables       map[string]*IdentityFacts // by quoted name
	Triggers     []TriggerFacts            // that notify
}

// RememberedMade is a row of mtbreactive.setup.
type RememberedMade struct {
	Made
	Publication string
}

// IdentityFacts is how a table stands whose replica identity setup changed.
type IdentityFacts struct {
	Owner     string
	Identity  byte   // pg_class.relreplident
	Index     string // quoted, of the index that the identity was; empty where it is gone or cannot be it any more
	Key       bool   // there is a primary key that can be the identity
	Published bool   // by another publication, with updates or deletions
	Filtered  bool   // by a publication of those, by columns that the identity that it had lacks
}

// TriggerFacts is a trigger that notifies.
type TriggerFacts struct {
	Table, Name, Owner string // the first two quoted
}

// Remains reads what is left. The schema has to be ours: see migrations.Remove.
func (s *Server) Remains(ctx context.Context) (*Remains, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	r := &Remains{Roles: map[string]bool{}, Publications: map[string]string{}, Members: map[string]bool{}, Tables: map[string]*IdentityFacts{}}
	var err error
	if r.Slot, err = readSlot(ctx, s.Pool, s.Slot); err != nil {
		return nil, err
	}
	ask := func(what, sql string, scan func(pgx.Rows) error, args ...any) {
		if err == nil {
			err = each(ctx, s.Pool, what, sql, args, scan)
		}
	}
	ask("read roles", remainingRoles, func(rows pgx.Rows) error {
		var role string
		err := rows.Scan(&role, &r.Role, &r.Remembered)
		r.Roles[role] = true
		return err
	})
	ask("read publications", remainingPublications, func(rows pgx.Rows) error {
		var name, owner string
		err := rows.Scan(&name, &owner)
		r.Publications[name] = owner
		return err
	})
	ask("read triggers", remainingTriggers, func(rows pgx.Rows) error {
		var t TriggerFacts
		err := rows.Scan(&t.Table, &t.Name, &t.Owner)
		r.Triggers = append(r.Triggers, t)
		return err
	})
	if err != nil || !r.Remembered {
		return r, err
	}
	ask("read what setup made", "select kind, name, publication, before from mtbreactive.setup order by made_at, kind, name", func(rows pgx.Rows) error {
		var m RememberedMade
		err := rows.Scan(&m.Kind, &m.Name, &m.Publication, &m.Before)
		r.Made = append(r.Made, m)
		return err
	})
	ask("read slots of other gateways", remainingOthers, func(rows pgx.Rows) error {
		var slot string
		err := rows.Scan(&slot)
		r.Others = append(r.Others, slot)
		return err
	}, s.Slot)
	ask("read members of publications", remainingMembers, func(rows pgx.Rows) error {
		var publication, table string
		err := rows.Scan(&publication, &table)
		r.Members[publication+" "+table] = true
		return err
	})
	ask("read replica identities", remainingIdentities, func(rows pgx.Rows) error {
		t := &IdentityFacts{}
		var name, identity string
		err := rows.Scan(&name, &t.Owner, &identity, &t.Index, &t.Key, &t.Published, &t.Filtered)
		if t.Identity = 'n'; identity != "" {
			t.Identity = identity[0]
		}
		r.Tables[name] = t
		return err
	})
	return r, err
}

// quotedTable names a table as Quote does.
const quotedTable = `'"' || pg_catalog.replace(n.nspname, '"', '""') || '"."' || pg_catalog.replace(c.relname, '"', '""') || '"'`

const remainingRoles = `
select r.rolname::pg_catalog.text, current_user::pg_catalog.text,
       exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
               where n.nspname = 'mtbreactive' and c.relname = 'setup' and c.relkind = 'r')
from pg_catalog.pg_roles r where pg_catalog.pg_has_role(r.oid, 'USAGE')`

const remainingPublications = `
select p.pubname::pg_catalog.text, pg_catalog.pg_get_userbyid(p.pubowner)::pg_catalog.text from pg_catalog.pg_publication p`

const remainingTriggers = `
select ` + quotedTable + `, '"' || pg_catalog.replace(t.tgname, '"', '""') || '"', pg_catalog.pg_get_userbyid(c.relowner)::pg_catalog.text
from pg_catalog.pg_trigger t
join pg_catalog.pg_class c on c.oid = t.tgrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_proc p on p.oid = t.tgfoid
join pg_catalog.pg_namespace f on f.oid = p.pronamespace
where f.nspname = 'mtbreactive' and p.proname = 'notify_change' and t.tgparentid = 0
order by 1, 2`

// remainingOthers finds the slots of this database that other gateways have used, or made.
const remainingOthers = `
select s.slot_name::pg_catalog.text
from pg_catalog.pg_replication_slots s
where s.database = pg_catalog.current_database() and s.slot_name <> $1
  and (s.slot_name in (select c.slot from mtbreactive.checkpoint c)
       or s.slot_name in (select m.name from mtbreactive.setup m where m.kind = 'slot'))
order by 1`

const remainingMembers = `
select p.pubname::pg_catalog.text, ` + quotedTable + `
from pg_catalog.pg_publication_rel r
join pg_catalog.pg_publication p on p.oid = r.prpubid
join pg_catalog.pg_class c on c.oid = r.prrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace`

// remainingIdentities leaves the publications that setup made, or added the table to, out of those that publish a table. A
// partition is published with what it is a partition of.
const remainingIdentities = `
with made as (select m.kind, m.name, m.publication, m.before from mtbreactive.setup m),
     named as (select c.oid, c.relname, c.relowner, c.relreplident, n.nspname, ` + quotedTable + ` as name
               from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p')),
     others as materialized (
         select q.oid as publication, t.oid
         from pg_catalog.pg_publication_tables p
         join pg_catalog.pg_publication q on q.pubname = p.pubname
         join named t on t.nspname = p.schemaname and t.relname = p.tablename
         where (q.pubupdate or q.pubdelete)
           and not exists (select from made k where k.kind = 'publication' and k.name = p.pubname)
           and not exists (select from made k where k.kind = 'publication table' and k.publication = p.pubname and k.name = t.name))
select t.name, pg_catalog.pg_get_userbyid(t.relowner)::pg_catalog.text, t.relreplident::pg_catalog.text,
       coalesce((select '"' || pg_catalog.replace(x.relname, '"', '""') || '"'
                 from pg_catalog.pg_index i join pg_catalog.pg_class x on x.oid = i.indexrelid
                 where i.indrelid = t.oid and i.indisunique and i.indimmediate and i.indisvalid and i.indpred is null and i.indexprs is null
                   and made.before in ('INDEX ' || x.relname, 'INDEX "' || pg_catalog.replace(x.relname, '"', '""') || '"')
                 limit 1), ''),
       exists (select from pg_catalog.pg_index i where i.indrelid = t.oid and i.indisprimary and i.indimmediate),
       exists (select from others o where o.oid = t.oid or o.oid in (select a.relid from pg_catalog.pg_partition_ancestors(t.oid) a)),
       exists (select from others o
               join pg_catalog.pg_publication_rel r on r.prpubid = o.publication and r.prrelid = o.oid
               join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_publication_rel'::pg_catalog.regclass and d.objid = r.oid
                    and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid = r.prrelid
               join pg_catalog.pg_attribute b on b.attrelid = d.refobjid and b.attnum = d.refobjsubid
               where (o.oid = t.oid or o.oid in (select a.relid from pg_catalog.pg_partition_ancestors(t.oid) a))
                 and pg_catalog.to_jsonb(r) ->> 'prqual' is not null
                 and not exists (
                     select from pg_catalog.pg_index i
                     join pg_catalog.pg_class x on x.oid = i.indexrelid
                     join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = any ((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts - 1])
                     where i.indrelid = t.oid and a.attname = b.attname
                       and (made.before = 'DEFAULT' and i.indisprimary
                            or made.before in ('INDEX ' || x.relname, 'INDEX "' || pg_catalog.replace(x.relname, '"', '""') || '"'))))
from made join named t on t.name = made.name
where made.kind = 'replica identity'`

// Removals plans the removal, in the order in which no statement of an application fails: a table leaves the publication before
// it gets a replica identity back with which the server would refuse its updates.
func (r *Remains) Removals(slot, publication string) []Removal {
	list := r.removeSlot(slot)
	if len(r.Others) > 0 {
		return append(list, Removal{
			What: "publication, replica identities, triggers and schema mtbreactive",
			Left: "other gateways use them too: there is slot " + strings.Join(r.Others, ", "), Advice: "-- run uninstall for these slots first, with --slot",
		})
	}
	list = append(list, r.removePublications(publication)...)
	for _, m := range r.Made {
		if m.Kind == MadeIdentity {
			list = append(list, r.restoreIdentity(m.Made))
		}
	}
	for _, t := range r.Triggers {
		name, table := requote(t.Name), requote(t.Table)
		list = append(list, Removal{What: "trigger " + name + " on " + table, SQL: fmt.Sprintf("DROP TRIGGER %s ON %s;", name, table), Owner: t.Owner, Table: table})
	}
	return list
}

var quotedIdentifier = regexp.MustCompile(`"(?:[^"]|"")*"`)

// requote gives quoted names as Quote does, which keeps a statement in one line.
func requote(names string) string {
	return quotedIdentifier.ReplaceAllStringFunc(names, func(name string) string {
		return Quote(strings.ReplaceAll(name[1:len(name)-1], `""`, `"`))
	})
}

func (r *Remains) made(kind MadeKind, name string) bool {
	return slices.ContainsFunc(r.Made, func(m RememberedMade) bool { return m.Kind == kind && m.Name == name })
}

func (r *Remains) removeSlot(slot string) []Removal {
	if r.Slot == nil {
		return nil
	}
	one := Removal{What: "slot " + slot}
	drop := fmt.Sprintf("SELECT pg_catalog.pg_drop_replication_slot(%s);", literal(slot))
	if r.made(MadeSlot, slot) {
		one.SQL = drop
	} else {
		one.Left, one.Advice = r.notRemembered(), drop+" -- it holds the log back until it is dropped"
	}
	return []Removal{one}
}

// notRemembered says why something stays that may be somebody else's.
func (r *Remains) notRemembered() string {
	if !r.Remembered {
		return "nothing is remembered of who made it, for there is no table mtbreactive.setup"
	}
	return "it is not remembered that setup made it"
}

func (r *Remains) removePublications(configured string) []Removal {
	var list []Removal
	for _, m := range r.Made {
		switch m.Kind {
		case MadePublication:
			if owner, ok := r.Publications[m.Name]; ok {
				list = append(list, Removal{What: "publication " + m.Name, SQL: fmt.Sprintf("DROP PUBLICATION %s;", quote(m.Name)), Owner: owner})
			}
		case MadePublicationTable:
			if r.made(MadePublication, m.Publication) || !r.Members[m.Publication+" "+m.Name] {
				continue
			}
			list = append(list, Removal{
				What: "table " + m.Name + " in publication " + m.Publication, Owner: r.Publications[m.Publication],
				SQL: fmt.Sprintf("ALTER PUBLICATION %s DROP TABLE ONLY %s;", quote(m.Publication), requote(m.Name)),
			})
		}
	}
	if _, ok := r.Publications[configured]; ok && !r.made(MadePublication, configured) {
		list = append(list, Removal{What: "publication " + configured, Left: r.notRemembered(),
			Advice: fmt.Sprintf("DROP PUBLICATION %s; -- if nobody else uses it", quote(configured))})
	}
	return list
}

func (r *Remains) restoreIdentity(m Made) Removal {
	one := Removal{What: "replica identity of " + m.Name}
	t := r.Tables[m.Name]
	to := m.Before
	if t != nil && strings.HasPrefix(m.Before, "INDEX ") {
		to = "USING INDEX " + requote(t.Index)
	}
	name := requote(m.Name)
	sql := fmt.Sprintf("ALTER TABLE ONLY %s REPLICA IDENTITY %s;", name, to)
	switch {
	case t == nil:
		one.Left = "the table is gone, or has another name"
	case t.Identity != 'f':
		one.Left = "it is FULL no more: somebody has changed it since"
	case strings.HasPrefix(m.Before, "INDEX ") && t.Index == "":
		one.Left = "it was " + m.Before + ", which is gone or cannot be it any more"
	case m.Before != "DEFAULT" && m.Before != "NOTHING" && !strings.HasPrefix(m.Before, "INDEX "): // it becomes SQL
		one.Left = fmt.Sprintf("it is remembered as %q, which is none", m.Before)
	case t.Published && (m.Before == "NOTHING" || m.Before == "DEFAULT" && !t.Key):
		one.Left, one.Advice = "another publication has the table, and with "+m.Before+" the server would refuse its updates", sql
	case t.Filtered:
		one.Left, one.Advice = "another publication filters its rows by columns that the identity would lack, and the server would refuse its updates", sql
	default:
		one.SQL, one.Owner, one.Table = sql, t.Owner, name
	}
	return one
}
