-- Every change of the table is sent by NOTIFY on channel {{.Channel}}, as the JSON of mtbReactive.
create or replace trigger mtbreactive_notify after insert or update or delete on {{.Table}}
    for each row execute function mtbreactive.notify_change({{.Channel}});
create or replace trigger mtbreactive_notify_truncate after truncate on {{.Table}}
    for each statement execute function mtbreactive.notify_change({{.Channel}});
