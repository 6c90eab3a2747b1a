package auth

import "testing"

func TestE2ANameIsBareWhereTheSearchPathDecides(t *testing.T) {
	for sql, bare := range map[string]bool{
		`select true from t where email = $ctx.sub`:                                   true,
		`select true from t where $ctx.sub = m.email`:                                 true,
		`select true from t where m.email in (select 'x')`:                            true,
		`select true from t join u using (email)`:                                     true,
		`select true from t where lower(email) operator(public.=) 'x'`:                true,
		`select true from t where email operator(public.=) 'x' and email = $ctx.sub`:  true,
		`select true from t where m.email operator(public.=) $ctx.sub`:                false,
		`select true from t where $ctx.sub OPERATOR (public.=) public.m.email`:        false,
		`select true from t where $ctx.sub::text operator(public.<>) m."email"`:       false,
		`select true from t where email::text = $ctx.sub`:                             false,
		`select true from t where cast(m.email as text) = $ctx.sub`:                   false,
		`select true from t where email.name = $ctx.sub`:                              false, // of a table
		`select true from t where name = 'email' /* email */ and "EMAIL" = $ctx.sub`:  false,
		`select true from t where ($ctx.sub) = email`:                                 true,
		`select true where $ctx.sub::email = 'x'`:                                     true,
		`select true where $ctx.sub::public.email operator(public.=) 'x'`:             false,
		`select true where 'x' operator(public.=) $ctx.sub::public.email`:             false,
		`select true where 'x' operator(public.=) $ctx.sub::public.email::text`:       false,
		`select true where (1 + 2) operator(public.=) 3 and $ctx.sub = 'x'::email`:    true,
		`select true where 'x' = any ($ctx.subs::public.email[])`:                     true,
		`select true from t where "email" = $ctx.sub`:                                 true,
		`select true from t where EMAIL = $ctx.sub`:                                   true,
		`select true from t where name = $ctx.sub`:                                    false,
		`select true from t where $ctx.sub = f(x) operator(public.=) y and email > 1`: true,
	} {
		s, err := parseStatement(sql)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.bare("email"); got != bare {
			t.Errorf("%s: bare is %v", sql, got)
		}
	}
}
