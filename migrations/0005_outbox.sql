-- +goose Up

-- What SQL says to the gateway goes through the table mtbreactive.outbox. A row reaches clients when its transaction commits,
-- between the rows around it, and never when the transaction or its savepoint is rolled back. Every role may write a logical
-- message, which is how this was before. The outbox is written by grant only:
--   GRANT USAGE ON SCHEMA mtbreactive TO app;
--   GRANT EXECUTE ON FUNCTION mtbreactive.emit(jsonb), mtbreactive.set_origin(text),
--       mtbreactive.emit(text, text, text, jsonb, jsonb, jsonb, jsonb) TO app;
--
-- The functions run as their owner. They resolve no name and no operator through the path of their caller.
create table mtbreactive.outbox (
    id      bigint generated always as identity primary key,
    kind    text not null constraint outbox_kind check (kind in ('event', 'origin')),
    content bytea not null constraint outbox_content check (pg_catalog.octet_length(content) <= 1048576)
);

-- A publication stays when a schema is dropped, without tables.
-- +goose StatementBegin
do $$
begin
    if exists (
        select from pg_catalog.pg_publication p
        where p.pubname = 'mtbreactive_outbox' and not p.puballtables
          and not exists (select from pg_catalog.pg_publication_tables t where t.pubname = p.pubname))
    then
        drop publication mtbreactive_outbox;
    end if;
end
$$;
-- +goose StatementEnd

-- Only inserts are published. Under a publication FOR ALL TABLES the deletions are too: the primary key is their identity.
create publication mtbreactive_outbox for table mtbreactive.outbox with (publish = 'insert');

-- outbox_write inserts a row and deletes it: the log has it, and the table stays empty. It returns a position of the log
-- behind the row.
-- +goose StatementBegin
create function mtbreactive.outbox_write(new_kind text, new_content bytea) returns pg_catalog.pg_lsn
    language plpgsql
    set search_path = pg_catalog, pg_temp
as
$$
declare
    written bigint;
begin
    insert into mtbreactive.outbox (kind, content) values (new_kind, new_content) returning id into written;
    delete from mtbreactive.outbox where id = written;
    return pg_catalog.pg_current_wal_insert_lsn();
end
$$;
-- +goose StatementEnd

-- emit tells of an event, or of an array of events, in the JSON of mtbReactive:
--   {"type": "afterInsert" | "afterUpdate" | "afterDelete", "schemaName", "tableName", "primaryKey": {}, "row": {}}
-- and, for afterUpdate, "changed" with the new values of the columns that changed, and "before" with their old ones.
-- The table's entry in reactive.yaml has source: hook.
--
-- A table that the gateway captures is refused where that is known here: where it is listed in the publication
-- "mtbreactive", or the one that ALTER DATABASE ... SET mtbreactive.publication names.
-- +goose StatementBegin
create or replace function mtbreactive.emit(event jsonb) returns pg_catalog.pg_lsn
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as
$$
declare
    one     jsonb;
    content bytea;
begin
    if event is null or pg_catalog.jsonb_typeof(event) not in ('object', 'array') then
        raise exception 'mtbreactive.emit: the event is neither a JSON object nor an array of them' using errcode = 'invalid_parameter_value';
    end if;
    if event = '[]' then
        raise exception 'mtbreactive.emit: the array has no event' using errcode = 'invalid_parameter_value';
    end if;
    for one in select v.value from pg_catalog.jsonb_array_elements(
        case pg_catalog.jsonb_typeof(event) when 'array' then event else pg_catalog.jsonb_build_array(event) end) v
    loop
        perform mtbreactive.check_event(one);
    end loop;
    content := pg_catalog.convert_to(event::text, 'UTF8');
    if pg_catalog.octet_length(content) > 1048576 then
        raise exception 'mtbreactive.emit: the event has % bytes, more than 1 MiB', pg_catalog.octet_length(content)
            using errcode = 'program_limit_exceeded';
    end if;
    return mtbreactive.outbox_write('event', content);
end
$$;
-- +goose StatementEnd

-- check_event raises an error for what is no event, or not one to be emitted.
-- +goose StatementBegin
create or replace function mtbreactive.check_event(event jsonb) returns void
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as
$$
declare
    publication text := coalesce(nullif(pg_catalog.current_setting('mtbreactive.publication', true), ''), 'mtbreactive');
    member      text;
begin
    if pg_catalog.jsonb_typeof(event) <> 'object' then
        raise exception 'mtbreactive.emit: an event is no JSON object' using errcode = 'invalid_parameter_value';
    end if;
    if event ->> 'type' is null or event ->> 'type' not in ('afterInsert', 'afterUpdate', 'afterDelete') then
        raise exception 'mtbreactive.emit: type is none of afterInsert, afterUpdate and afterDelete' using errcode = 'invalid_parameter_value';
    end if;
    foreach member in array array['schemaName', 'tableName'] loop
        if pg_catalog.jsonb_typeof(event -> member) is distinct from 'string' then
            raise exception 'mtbreactive.emit: % is missing or no string', member using errcode = 'invalid_parameter_value';
        end if;
    end loop;
    foreach member in array array['primaryKey', 'row', 'changed', 'before'] loop
        if pg_catalog.jsonb_typeof(event -> member) not in ('object', 'null') then
            raise exception 'mtbreactive.emit: % is no JSON object', member using errcode = 'invalid_parameter_value';
        end if;
    end loop;
    if exists (
        select
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        join pg_catalog.pg_publication p on p.pubname = publication
        where n.nspname = event ->> 'schemaName' and c.relname = event ->> 'tableName' and c.relkind in ('r', 'p')
          and (p.puballtables and c.relpersistence = 'p'
               or exists (select from pg_catalog.pg_publication_rel r where r.prpubid = p.oid and r.prrelid = c.oid)))
    then
        raise exception 'mtbreactive.emit: table %.% is in publication %, so its changes reach clients by themselves',
            event ->> 'schemaName', event ->> 'tableName', publication
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Do not emit them, or take the table out of the publication and give its entry in reactive.yaml source: hook.';
    end if;
end
$$;
-- +goose StatementEnd

-- The same in parts: select mtbreactive.emit('afterInsert', 'public', 'message', to_jsonb(m)) from public.message m ...
-- Without a primary_key the catalog's is picked from the row.
-- +goose StatementBegin
create or replace function mtbreactive.emit(
    event_type text, schema_name text, table_name text, row_data jsonb,
    primary_key jsonb default null, changed jsonb default null, before jsonb default null
) returns pg_catalog.pg_lsn
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as
$$
begin
    if primary_key is null then
        select pg_catalog.jsonb_object_agg(a.attname, row_data -> a.attname::text) into primary_key
        from pg_catalog.pg_index i
        join pg_catalog.pg_class c on c.oid = i.indrelid
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
        where n.nspname = schema_name and c.relname = table_name and i.indisprimary;
        if primary_key is null then
            raise exception 'mtbreactive.emit: the catalog has no primary key of %.%', schema_name, table_name
                using errcode = 'invalid_parameter_value', hint = 'Give primary_key.';
        end if;
    end if;
    return mtbreactive.emit(pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('type', event_type, 'schemaName', schema_name, 'tableName', table_name))
        || pg_catalog.jsonb_build_object('primaryKey', primary_key, 'row', row_data, 'changed', changed, 'before', before));
end
$$;
-- +goose StatementEnd

-- set_origin says where the transaction comes from, in 256 bytes at most: a client knows its own changes by that. What is said
-- last counts.
-- +goose StatementBegin
create or replace function mtbreactive.set_origin(origin text) returns pg_catalog.pg_lsn
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as
$$
declare
    content bytea := pg_catalog.convert_to(origin, 'UTF8');
begin
    if content is null or pg_catalog.octet_length(content) > 256 then
        raise exception 'mtbreactive.set_origin: the origin is null or has more than 256 bytes' using errcode = 'invalid_parameter_value';
    end if;
    return mtbreactive.outbox_write('origin', content);
end
$$;
-- +goose StatementEnd

drop function mtbreactive.say(text, bytea);

revoke all on function
    mtbreactive.emit(jsonb),
    mtbreactive.emit(text, text, text, jsonb, jsonb, jsonb, jsonb),
    mtbreactive.set_origin(text),
    mtbreactive.check_event(jsonb),
    mtbreactive.outbox_write(text, bytea)
    from public;

-- +goose Down

-- There is no way back to messages that every role may write: `reactive-gw uninstall` removes the schema.
-- +goose StatementBegin
do $$ begin raise exception 'migration 0005_outbox has no way down: run reactive-gw uninstall'; end $$;
-- +goose StatementEnd
