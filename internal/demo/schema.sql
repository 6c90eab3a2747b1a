create table if not exists conversation (
    id    bigint generated always as identity primary key,
    title text   not null,
    about text   not null
);

create table if not exists member (
    id              bigint generated always as identity primary key,
    conversation_id bigint not null references conversation on delete cascade,
    name            text   not null,
    unique (conversation_id, name)
);

create table if not exists message (
    id              bigint generated always as identity primary key,
    conversation_id bigint      not null references conversation on delete cascade,
    author_id       bigint      not null references member on delete cascade,
    body            text        not null check (char_length(body) between 1 and 2000),
    created_at      timestamptz not null default now(),
    edited_at       timestamptz
);

create index if not exists message_of_conversation on message (conversation_id, id);
