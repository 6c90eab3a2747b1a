-- +goose Up

-- What the gateway's setup made or altered in the database, so that `reactive-gw uninstall` can undo it. The first entry for
-- an object counts: it says how the object was before.
create table mtbreactive.setup (
    kind        text not null,                                -- slot, publication, publication table, replica identity
    name        text not null,                                -- quoted as SQL has it
    publication text not null default '',                     -- that a publication table was added to
    before      text not null default '',                     -- of a replica identity: DEFAULT, NOTHING, INDEX "name"
    made_at     timestamptz not null default pg_catalog.now(),
    primary key (kind, name, publication)
);

-- +goose Down

drop table mtbreactive.setup;
