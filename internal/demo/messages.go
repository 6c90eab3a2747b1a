package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// conversation and member are rows of the tables of these names.
type conversation struct {
	ID      int64    `json:"id"`
	Title   string   `json:"title"`
	About   string   `json:"about"`
	Members []member `json:"members"`
}

type member struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

func (a *api) conversations(r *http.Request) (reply, error) {
	rows, err := a.pool.Query(r.Context(), `
		select c.id, c.title, c.about,
		       coalesce(jsonb_agg(jsonb_build_object('id', m.id, 'name', m.name) order by m.id)
		                filter (where m.id is not null), '[]') as members
		from conversation c left join member m on m.conversation_id = c.id
		group by c.id
		order by c.id`)
	if err != nil {
		return reply{}, fmt.Errorf("list conversations: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[conversation])
	if err != nil {
		return reply{}, fmt.Errorf("list conversations: %w", err)
	}
	return reply{http.StatusOK, list}, nil
}

// messages lists the rows as to_jsonb writes them, which is how they come in the frames of a subscription too: the page
// has one form of a row to deal with.
func (a *api) messages(r *http.Request) (reply, error) {
	id, err := pathID(r)
	if err != nil {
		return reply{}, err
	}
	rows, err := a.pool.Query(r.Context(), `
		select to_jsonb(last) from (
			select * from message where conversation_id = $1 order by id desc limit 200
		) last
		order by id`, id)
	if err != nil {
		return reply{}, fmt.Errorf("list messages: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
	if err != nil {
		return reply{}, fmt.Errorf("list messages: %w", err)
	}
	return reply{http.StatusOK, list}, nil
}

func (a *api) write(r *http.Request) (reply, error) {
	var in struct {
		ConversationID int64  `json:"conversation_id"`
		AuthorID       int64  `json:"author_id"`
		Body           string `json:"body"`
	}
	if err := read(r, &in); err != nil {
		return reply{}, err
	}
	if err := checkBody(in.Body); err != nil {
		return reply{}, err
	}
	var id int64
	err := a.pool.QueryRow(r.Context(), `
		insert into message (conversation_id, author_id, body)
		select conversation_id, id, $3 from member where conversation_id = $1 and id = $2
		returning id`, in.ConversationID, in.AuthorID, in.Body).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return reply{}, &refusal{http.StatusUnprocessableEntity, "the author is not a member of the conversation"}
	}
	if err != nil {
		return reply{}, fmt.Errorf("write message: %w", err)
	}
	return reply{http.StatusCreated, map[string]int64{"id": id}}, nil
}

// change edits the message, moves it, or both.
func (a *api) change(r *http.Request) (reply, error) {
	id, err := pathID(r)
	if err != nil {
		return reply{}, err
	}
	var in struct {
		Body           *string `json:"body"`
		ConversationID *int64  `json:"conversation_id"`
	}
	if err := read(r, &in); err != nil {
		return reply{}, err
	}
	if in.Body == nil && in.ConversationID == nil {
		return reply{}, &refusal{http.StatusUnprocessableEntity, "there is nothing to change: give body, conversation_id or both"}
	}
	if in.Body != nil {
		if err := checkBody(*in.Body); err != nil {
			return reply{}, err
		}
	}
	done, err := a.pool.Exec(r.Context(), `
		update message
		set body            = coalesce($2, body),
		    edited_at       = case when $2::text is null then edited_at else now() end,
		    conversation_id = coalesce($3, conversation_id)
		where id = $1`, id, in.Body, in.ConversationID)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == pgerrcode.ForeignKeyViolation {
		return reply{}, &refusal{http.StatusUnprocessableEntity, "there is no such conversation to move it to"}
	}
	if err != nil {
		return reply{}, fmt.Errorf("change message: %w", err)
	}
	if done.RowsAffected() == 0 {
		return reply{}, noMessage()
	}
	return reply{status: http.StatusNoContent}, nil
}

func (a *api) remove(r *http.Request) (reply, error) {
	id, err := pathID(r)
	if err != nil {
		return reply{}, err
	}
	done, err := a.pool.Exec(r.Context(), "delete from message where id = $1", id)
	if err != nil {
		return reply{}, fmt.Errorf("delete message: %w", err)
	}
	if done.RowsAffected() == 0 {
		return reply{}, noMessage()
	}
	return reply{status: http.StatusNoContent}, nil
}

func noMessage() error {
	return &refusal{http.StatusNotFound, "there is no such message"}
}

// checkBody holds a message to what its column takes: 1 to 2000 characters, and none of them NUL.
func checkBody(body string) error {
	if n := utf8.RuneCountInString(body); strings.TrimSpace(body) == "" || n > 2000 || strings.ContainsRune(body, 0) {
		return &refusal{http.StatusUnprocessableEntity, "a message has 1 to 2000 characters, and not only spaces"}
	}
	return nil
}
