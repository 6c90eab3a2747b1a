package auth

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func TestStatementsThatAreMemberships(t *testing.T) {
	ada := principal(t, map[string]any{"sub": "ada", "org": map[string]any{"id": 3}, "roles": []any{"a"}})
	for sql, want := range map[string]string{
		`select exists (select 1 from member where conversation_id = $scope and user_id = $ctx.sub)`:            `.member [conversation_id user_id] [7 ada] 0`,
		`select exists (select from member where user_id = $ctx.sub and conversation_id = $scope)`:              `.member [user_id conversation_id] [ada 7] 1`,
		`SELECT EXISTS(SELECT * FROM Chat.Member AS m WHERE m.Conversation_Id = $scope AND $ctx.sub = m.User);`: `chat.member [conversation_id user] [7 ada] 0`,
		`select exists (select true from "Chat"."the ""member""" where "User Id" = $ctx.sub)`:                   `Chat.the "member" [User Id] [ada] -1`,
		`select exists (select 1 from member where org = $ctx.org.id and role = 'ed''s' and level = 3)`:         `.member [org role level] [3 ed's 3] -1`,
		`select exists (select 1 from member where active = true and channel = $channel and col = $scope.col)`:  `.member [active channel col] [true message conversation_id] -1`,
		"select exists ( -- $scope\n select 1 /* from */ from member where conversation_id = $scope)":           `.member [conversation_id] [7] 0`,
		`select exists (select 1 from member where conversation_id = $scope and "user" = $ctx.sub)`:             `.member [conversation_id user] [7 ada] 0`,
		`select exists (select 1 from member where member.conversation_id = $scope)`:                            `.member [conversation_id] [7] 0`,
		`select exists (select 1 from member where role = $ctx.roles and role = 'x')`:                           `.member [role role] [{"a"} x] -1`,
		`select 1 from member where conversation_id = $scope and user_id = $ctx.sub`:                            `.member [conversation_id user_id] [7 ada] 0`,
		`select true from member m where $ctx.sub = m.user_id limit 1;`:                                         `.member [user_id] [ada] -1`,
		`select * from chat.member where conversation_id = $scope`:                                              `chat.member [conversation_id] [7] 0`,
		`select from member where conversation_id = $scope`:                                                     `.member [conversation_id] [7] 0`,
		`select active from member where conversation_id = $scope`:                                              ``,
		`select false from member where conversation_id = $scope`:                                               ``,
		`select 1 from member where conversation_id = $scope limit 0`:                                           ``,
		`select 1 from member where conversation_id = $scope limit 1 offset 1`:                                  ``,
		`select 1 from member where conversation_id = $scope order by 1`:                                        ``,
		`select 1 from member where conversation_id = $scope)`:                                                  ``,
		`select 1 from member where conversation_id = $scope; select 1`:                                         ``,
		`select count(*) from member where conversation_id = $scope`:                                            ``,
		`select exists (select 1 from member where conversation_id = $scope or user_id = $ctx.sub)`:             ``,
		`select exists (select 1 from member where conversation_id = $scope) and true`:                          ``,
		`select not exists (select 1 from ban where user_id = $ctx.sub)`:                                        ``,
		`select exists (select 1 from member where not banned = true)`:                                          ``,
		`select exists (select 1 from member where conversation_id = $scope and user_id = current_user)`:        ``,
		`select exists (select 1 from member where current_user = $ctx.sub)`:                                    ``,
		`select exists (select 1 from member where user = $ctx.sub)`:                                            ``,
		`select exists (select 1 from member where conversation_id = $scope and until > now())`:                 ``,
		`select exists (select 1 from member where conversation_id = $scope::bigint)`:                           ``,
		`select exists (select 1 from member where conversation_id = any($ctx.roles))`:                          ``,
		`select exists (select 1 from member where lower(user_id) = $ctx.sub)`:                                  ``,
		`select exists (select 1 from member where user_id = $ctx.sub collate "C")`:                             ``,
		`select exists (select 1 from member where user_id = -1)`:                                               ``,
		`select exists (select 1 from member where user_id = E'a')`:                                             ``,
		`select exists (select 1 from member where a = b)`:                                                      ``,
		`select exists (select 1 from member where x.user_id = $ctx.sub)`:                                       ``,
		`select exists (select 1 from member m where member.user_id = $ctx.sub)`:                                ``,
		`select exists (select 1 from member m, org o where m.user_id = $ctx.sub)`:                              ``,
		`select exists (select 1 from member m join org o on o.id = m.org where m.user_id = $ctx.sub)`:          ``,
		`select exists (select 1 from only member where user_id = $ctx.sub)`:                                    ``,
		`select exists (select 1 from members('x') where user_id = $ctx.sub)`:                                   ``,
		`select exists (select 1 from member where user_id = $ctx.sub group by 1 having count(*) > 1)`:          ``,
		`select exists (select 1 from member where user_id = $ctx.sub union select 1)`:                          ``,
		`select exists (select count(*) from member where user_id = $ctx.sub)`:                                  ``,
		`select exists (select 1 from member where user_id = $ctx.sub offset 1)`:                                ``,
		`select exists (select 1 from member)`:                                                                  ``,
		`select exists (select 1 from member where user_id = $ctx.sub`:                                          ``,
		`select exists (select 1, 2 from member where user_id = $ctx.sub)`:                                      ``,
		`select exists (select 1 from db.chat.member where user_id = $ctx.sub)`:                                 ``,
		`select count(*) > 0 from member where user_id = $ctx.sub`:                                              ``,
		`select exists (with m as (select 1) select 1 from member where user_id = $ctx.sub)`:                    ``,
		`with x as (select 1) select exists (select 1 from member where user_id = $ctx.sub)`:                    ``,
		`select exists (select 1 from member where user_id = U&'\0041')`:                                        ``,
		`select exists (select 1 from member where (user_id, a) = ($ctx.sub, 1))`:                               ``,
		`select exists (select 1 from member where user_id = $ctx.sub and user_id = 1.5)`:                       `.member [user_id user_id] [ada 1.5] -1`,
		`select exists (select 1 from member tablesample system (1) where user_id = $ctx.sub)`:                  ``,
		``: ``,
	} {
		s, err := parseStatement(sql)
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			continue
		}
		got := ""
		if m := s.membership(); m != nil {
			values, _ := m.Values(ada, conversation(int64(7)))
			got = fmt.Sprint(m.Schema, ".", m.Table, " ", m.Columns(), " ", values, " ", m.Scope())
		}
		if got != want {
			t.Errorf("%s\ngot  %s\nwant %s", sql, got, want)
		}
	}
}

func TestASubscriptionThatIsRefusedAnywayDependsOnNoRow(t *testing.T) {
	m, err := NewMember(MemberOptions{Database: neverAsked{t}, Schema: "public", Table: "member", Scope: "conversation_id", User: "user_id"})
	if err != nil {
		t.Fatal(err)
	}
	about := conversation(int64(7))
	if values, ok := m.Membership().Values(principal(t, map[string]any{"sub": "ada"}), about); !ok || strings.Join(values, " ") != "7 ada" {
		t.Errorf("ada depends on %v", values)
	}
	for name, p := range map[string]*Principal{"nobody": nil, "without the claim": principal(t, nil), "an object": principal(t, map[string]any{"sub": map[string]any{}})} {
		if values, ok := m.Membership().Values(p, about); ok {
			t.Errorf("%s depends on %v", name, values)
		}
	}
}

// neverAsked fails the test when it is asked.
type neverAsked struct{ t *testing.T }

func (d neverAsked) With(context.Context, func(Connection) error) error {
	d.t.Error("the database is asked")
	return nil
}
