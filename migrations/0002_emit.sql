-- +goose Up

-- What is said to the gateway through the log: logical messages of the transaction that says it, which reach clients when
-- it commits, between the rows around them, and never when it is rolled back.
--
-- Whoever may use the schema may call these: GRANT USAGE ON SCHEMA mtbreactive TO app. That keeps nobody else from writing
-- the messages themselves, for PostgreSQL lets every role do that. Where some role must not:
--   REVOKE EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, text),
--       pg_logical_emit_message(boolean, text, bytea) FROM PUBLIC;
-- (from version 17 on with a further boolean) and grant it to those that may.
--
-- Both return the position of the message in the log.

-- emit tells of an event, or of an array of events, in the JSON of mtbReactive:
--   {"type": "afterInsert" | "afterUpdate" | "afterDelete", "schemaName", "tableName", "primaryKey": {}, "row": {}}
-- and, for afterUpdate, "changed" with the new values of the columns that changed, and "before" with their old ones.
-- The table's entry in reactive.yaml has source: hook.
--
-- A table that the gateway captures is refused where that is known here: where it is listed in the publication
-- "mtbreactive", or the one that ALTER DATABASE ... SET mtbreactive.publication names.
-- +goose StatementBegin
create function mtbreactive.emit(event jsonb) returns pg_lsn
    language plpgsql as
$$
declare
    one     jsonb;
    content bytea;
begin
    if event is null or jsonb_typeof(event) not in ('object', 'array') then
        raise exception 'mtbreactive.emit: the event is neither a JSON object nor an array of them' using errcode = 'invalid_parameter_value';
    end if;
    if event = '[]' then
        raise exception 'mtbreactive.emit: the array has no event' using errcode = 'invalid_parameter_value';
    end if;
    for one in select v.value from pg_catalog.jsonb_array_elements(
        case jsonb_typeof(event) when 'array' then event else pg_catalog.jsonb_build_array(event) end) v
    loop
        perform mtbreactive.check_event(one);
    end loop;
    content := pg_catalog.convert_to(event::text, 'UTF8');
    if pg_catalog.octet_length(content) > 1048576 then
        raise exception 'mtbreactive.emit: the event has % bytes, more than 1 MiB', pg_catalog.octet_length(content)
            using errcode = 'program_limit_exceeded';
    end if;
    return mtbreactive.say('mtbreactive', content);
end
$$;
-- +goose StatementEnd

-- say writes a message. Of a transaction that is sent while it is in progress, the server does not say which subtransaction,
-- as of a savepoint, a message is of, and so whether it was rolled back. Behind the @ in the prefix stands the latest one
-- that is held: the subtransaction's own, or one below it that ended well and can be rolled back with it only.
-- +goose StatementBegin
create function mtbreactive.say(prefix text, content bytea) returns pg_lsn
    language plpgsql as
$$
declare
    latest xid;
begin
    perform pg_catalog.pg_logical_emit_message(true, 'mtbreactive.begin', ''); -- gives the subtransaction its identifier
    select l.transactionid into latest
    from pg_catalog.pg_locks l
    where l.pid = pg_catalog.pg_backend_pid() and l.locktype = 'transactionid' and l.mode = 'ExclusiveLock' and l.granted
    order by (l.transactionid::text::bigint - pg_catalog.pg_current_xact_id()::text::bigint % 4294967296 + 4294967296) % 4294967296 desc
    limit 1;
    return pg_catalog.pg_logical_emit_message(true, prefix || '@' || latest, content);
end
$$;
-- +goose StatementEnd

-- check_event raises an error for what is no event, or not one to be emitted.
-- +goose StatementBegin
create function mtbreactive.check_event(event jsonb) returns void
    language plpgsql stable as
$$
declare
    publication text := coalesce(nullif(current_setting('mtbreactive.publication', true), ''), 'mtbreactive');
    member      text;
begin
    if jsonb_typeof(event) <> 'object' then
        raise exception 'mtbreactive.emit: an event is no JSON object' using errcode = 'invalid_parameter_value';
    end if;
    if event ->> 'type' is null or event ->> 'type' not in ('afterInsert', 'afterUpdate', 'afterDelete') then
        raise exception 'mtbreactive.emit: type is none of afterInsert, afterUpdate and afterDelete' using errcode = 'invalid_parameter_value';
    end if;
    foreach member in array array['schemaName', 'tableName'] loop
        if jsonb_typeof(event -> member) is distinct from 'string' then
            raise exception 'mtbreactive.emit: % is missing or no string', member using errcode = 'invalid_parameter_value';
        end if;
    end loop;
    foreach member in array array['primaryKey', 'row', 'changed', 'before'] loop
        if jsonb_typeof(event -> member) not in ('object', 'null') then
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

-- The same in parts: select mtbreactive.emit('afterInsert', 'public', 'message', to_jsonb(m)) from message m ...
-- Without a primary_key the catalog's is picked from the row.
-- +goose StatementBegin
create function mtbreactive.emit(
    event_type text, schema_name text, table_name text, row_data jsonb,
    primary_key jsonb default null, changed jsonb default null, before jsonb default null
) returns pg_lsn
    language plpgsql as
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

-- set_origin says where the transaction comes from, in 256 bytes at most: whoever wrote it knows its own changes by that.
-- What is said last counts.
-- +goose StatementBegin
create function mtbreactive.set_origin(origin text) returns pg_lsn
    language plpgsql as
$$
declare
    content bytea := pg_catalog.convert_to(origin, 'UTF8');
begin
    if content is null or pg_catalog.octet_length(content) > 256 then
        raise exception 'mtbreactive.set_origin: the origin is null or has more than 256 bytes' using errcode = 'invalid_parameter_value';
    end if;
    return mtbreactive.say('mtbreactive.origin', content);
end
$$;
-- +goose StatementEnd

-- notify_change is the trigger function that `reactive-gw migrate notify-trigger TABLE` installs. It sends the event by
-- NOTIFY, on the channel that is the trigger's argument, with "before" besides what mtbReactive has. Of an event that has no
-- room in a notification, and of a TRUNCATE, it sends only that something happened: {"incomplete": true}. "sent" keeps equal
-- events apart, of which PostgreSQL would send one for each transaction.
--
-- It never fails the statement that fires it. It asks for no privilege of whoever fires it, and is fixed to the settings by
-- which values are printed in the log.
-- +goose StatementBegin
create function mtbreactive.notify_change() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
as
$$
declare
    room    constant int := 7999;
    about   jsonb;
    now_row jsonb;
    old_row jsonb;
    content text;
    root    oid := coalesce(pg_partition_root(tg_relid), tg_relid);
begin
    about := jsonb_build_object('type', case tg_op when 'INSERT' then 'afterInsert' when 'UPDATE' then 'afterUpdate' else 'afterDelete' end)
        || (select jsonb_build_object('schemaName', n.nspname, 'tableName', c.relname)
            from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = root);
    if tg_op <> 'TRUNCATE' then
        begin
            if tg_op <> 'DELETE' then
                now_row := to_jsonb(new);
            end if;
            if tg_op <> 'INSERT' then
                old_row := to_jsonb(old);
            end if;
            select coalesce(now_row, old_row) - coalesce(array_agg(a.attname::text), '{}') into now_row
            from pg_attribute a
            where a.attrelid = tg_relid and a.attgenerated = 'v'; -- virtual: a trigger does not see its value
            content := (about
                || jsonb_build_object(
                    'row', now_row,
                    'primaryKey', coalesce((
                        select jsonb_object_agg(a.attname, now_row -> a.attname::text)
                        from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
                        where i.indrelid = tg_relid and i.indisprimary), now_row),
                    'sent', extract(epoch from clock_timestamp()))
                || case tg_op when 'UPDATE' then (
                    select jsonb_build_object(
                        'changed', coalesce(jsonb_object_agg(n.key, n.value), '{}'),
                        'before', coalesce(jsonb_object_agg(n.key, old_row -> n.key), '{}'))
                    from jsonb_each(now_row) n where n.value is distinct from old_row -> n.key)
                   else '{}' end)::text;
        exception when others then
            content := null;
        end;
    end if;
    if content is null or octet_length(content) > room then
        content := (about || '{"incomplete": true}')::text;
    end if;
    perform pg_notify(tg_argv[0], content);
    return null;
exception when others then
    raise warning 'mtbreactive.notify_change: clients are not told of a change of %.%: %', tg_table_schema, tg_table_name, sqlerrm;
    return null;
end
$$;
-- +goose StatementEnd

-- +goose Down

drop function mtbreactive.notify_change() cascade;
drop function mtbreactive.set_origin(text);
drop function mtbreactive.emit(text, text, text, jsonb, jsonb, jsonb, jsonb);
drop function mtbreactive.emit(jsonb);
drop function mtbreactive.check_event(jsonb);
drop function mtbreactive.say(text, bytea);
