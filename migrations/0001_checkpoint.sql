-- +goose Up

-- The position up to which each slot's changes were delivered, and the log that the position belongs to.
create table mtbreactive.checkpoint (
    slot       text primary key,
    system_id  text not null,
    timeline   int not null,
    commit_lsn pg_lsn not null,
    end_lsn    pg_lsn not null,
    saved_at   timestamptz not null default now()
);

-- +goose Down

drop table mtbreactive.checkpoint;
