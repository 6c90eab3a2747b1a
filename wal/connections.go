package wal

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// connectionRoom says how many connections this role may have in this database, and how many others use. Connections of
// replication count among the senders. PostgreSQL lets superusers have the reserved ones.
const connectionRoom = `
select (select setting::pg_catalog.int8 from pg_catalog.pg_settings where name = 'max_connections'),
       (select coalesce(pg_catalog.sum(setting::pg_catalog.int8), 0)::pg_catalog.int8 from pg_catalog.pg_settings
        where name in ('superuser_reserved_connections', 'reserved_connections') and not r.rolsuper),
       r.rolconnlimit::pg_catalog.int8, d.datconnlimit::pg_catalog.int8,
       (select pg_catalog.count(*) from pg_catalog.pg_stat_activity a where a.backend_type = 'client backend' and a.application_name <> $1),
       (select pg_catalog.count(*) from pg_catalog.pg_stat_activity a where a.backend_type = 'client backend' and a.application_name <> $1 and a.usesysid = r.oid),
       (select pg_catalog.count(*) from pg_catalog.pg_stat_activity a where a.backend_type = 'client backend' and a.application_name <> $1 and a.datid = d.oid),
       r.rolname::pg_catalog.text, r.rolsuper
from pg_catalog.pg_roles r, pg_catalog.pg_database d
where r.rolname = current_user and d.datname = pg_catalog.current_database()`

const (
	// pools have databasePool connections each: for snapshots, for snapshots that ask operators' queries, and for authorize and
	// resolveScopes.
	pools = 3
	// otherConnections are those of set-up and checkpoints, and the one that listens.
	otherConnections = poolSize + 1
)

// Connections is how many sessions a gateway with such a databasePool has at most, besides the stream.
func Connections(databasePool int) int { return pools*databasePool + otherConnections }

// ConnectionFinding tells whether the server leaves room for the connections of a gateway with such a databasePool.
func ConnectionFinding(ctx context.Context, q Querier, pool int) (Finding, error) {
	need := int64(Connections(pool))
	finding := Finding{Check: "connections", Level: Good}
	err := each(ctx, q, "count connections", connectionRoom, []any{applicationName}, func(rows pgx.Rows) error {
		var most, reserved, ofRole, ofDatabase, others, othersOfRole, othersOfDatabase int64
		var role string
		var superuser bool
		if err := rows.Scan(&most, &reserved, &ofRole, &ofDatabase, &others, &othersOfRole, &othersOfDatabase, &role, &superuser); err != nil {
			return err
		}
		finding.Detail = fmt.Sprintf("up to %d (databasePool: %d), and max_connections leaves %d", need, pool, max(0, most-reserved-others))
		short := func(left int64, what, fix string) {
			if left < need && finding.Level == Good {
				finding.Level, finding.Fix = Warn, fix
				finding.Detail = fmt.Sprintf("the gateway may need %d connections (%d times databasePool: %d, and %d), and %s leaves %d: "+
					"snapshots and questions of rights would wait, or fail", need, pools, pool, otherConnections, what, max(0, left))
			}
		}
		smaller := fmt.Sprintf("-- or a smaller databasePool in the configuration; %d connections are used by others now", others)
		short(most-reserved-others, "max_connections", fmt.Sprintf("ALTER SYSTEM SET max_connections = %d; -- then restart PostgreSQL\n%s",
			others+reserved+need+10, smaller))
		if ofRole >= 0 && !superuser {
			short(ofRole-othersOfRole, "the role's CONNECTION LIMIT", fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT %d;\n%s", quote(role), othersOfRole+need, smaller))
		}
		if ofDatabase >= 0 && !superuser {
			short(ofDatabase-othersOfDatabase, "the database's CONNECTION LIMIT", "-- ALTER DATABASE ... CONNECTION LIMIT\n"+smaller)
		}
		return nil
	})
	return finding, err
}
