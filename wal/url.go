package wal

import (
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reactive-gw/reactive-gw/wal/dsn"
)

// parseURL reads a connection string. It is read again for every connection, for the files that it names may change.
func parseURL(url string) (*pgx.ConnConfig, error) {
	address, err := dsn.Parse(url)
	if err != nil {
		return nil, err
	}
	return address.Config, nil
}

// parsePoolURL is parseURL for a pool. Its size and lifetimes are the gateway's to decide, whatever the string says.
func parsePoolURL(url string) (*pgxpool.Config, error) {
	config, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	// pgxpool takes only what it has parsed itself.
	pool, err := pgxpool.ParseConfig("host=localhost sslmode=disable")
	if err != nil {
		return nil, &dsn.Error{Problem: "does not go with the PG* variables of the environment", Fix: "unset those that the gateway is not meant to read"}
	}
	pool.ConnConfig = config
	return pool, nil
}

// IgnoredParameters names what a connection string says and what has no effect here, such as the size of a pool.
func IgnoredParameters(url string) []string {
	address, err := dsn.Parse(url)
	if err != nil {
		return nil
	}
	return address.Ignored
}
