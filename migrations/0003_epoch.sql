-- +goose Up

-- A checkpoint says more now: the epoch, which names the log that its positions are of, how far the log was released, and
-- what clients were told when continuity was lost. One of before cannot tell a restart from a gap.
delete from mtbreactive.checkpoint;

alter table mtbreactive.checkpoint
    add column epoch            text not null,
    add column reached_lsn      pg_lsn not null,
    add column released_lsn     pg_lsn not null,
    add column postmaster_start timestamptz not null,
    add column reset_reason     text not null default '',
    add column reset_detail     text not null default '',
    add column reset_at         timestamptz;

-- +goose Down

alter table mtbreactive.checkpoint
    drop column epoch,
    drop column reached_lsn,
    drop column released_lsn,
    drop column postmaster_start,
    drop column reset_reason,
    drop column reset_detail,
    drop column reset_at;
