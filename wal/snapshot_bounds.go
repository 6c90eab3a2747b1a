package wal

import (
	"errors"
	"fmt"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

// leastBoundedRow is what a row of the catalog may have, whatever bound is asked for.
const leastBoundedRow = 64 << 10

// ErrRowTooBig says that one row is more than a snapshot may hold.
var ErrRowTooBig = errors.New("a row of it is bigger than a snapshot may be, half of queueBytes: exclude the column that is so big, or set queueBytes higher")

// explained says what to do about a row that cannot be read. What the server says of it stays out of the log.
func explained(conn *pgx.Conn, t TableName, err error) error {
	var long *pgproto3.ExceededMaxBodyLenErr
	switch {
	case errors.As(err, &long):
		return ErrRowTooBig
	case hasCode(err, pgerrcode.UntranslatableCharacter):
		if d, _ := newDecoder(conn.PgConn().ParameterStatus("server_encoding")); d != nil {
			return fmt.Errorf("a row or a name of it has a character of %s that has no Unicode: mend the rows that this finds: %s", d.encoding, d.findSQL(t))
		}
	}
	return err
}
