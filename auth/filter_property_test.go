package auth

import (
	"fmt"
	"testing"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"pgregory.net/rapid"
)

// TestSharingNeverChangesAnAnswer draws expressions, rows and clients, and compares what a Verdict says, which decides as
// much as it can before it knows the client, with CEL's own answer for that client, from nothing but two maps.
func TestSharingNeverChangesAnAnswer(t *testing.T) {
	env, err := cel.NewEnv(
		cel.Variable("row", cel.MapType(cel.StringType, cel.DynType)), cel.Variable("ctx", cel.MapType(cel.StringType, cel.DynType)),
		cel.CrossTypeNumericComparisons(true),
	)
	if err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		source := boolean(t, 4, nil)
		filter, err := NewFilter(source, nil)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		tree, issues := env.Compile(source)
		if issues.Err() != nil {
			t.Fatal(issues.Err())
		}
		program, err := env.Program(tree)
		if err != nil {
			t.Fatal(err)
		}
		row := Values(members(t, "row", "flag", "n", "s", "l", "d"))
		var v Verdict
		filter.Judge(&v, row)
		allowed, shared := v.Shared()
		for i := range 4 {
			claims := members(t, fmt.Sprintf("ctx%d", i), "flag", "n", "s", "l", "d")
			p, err := NewPrincipal(claims, noExpiry)
			if err != nil {
				t.Fatal(err)
			}
			value, _, err := program.Eval(map[string]any{"row": map[string]any(row), "ctx": claims})
			want := err == nil && value == types.True
			if got := v.Allows(p); got != want {
				t.Fatalf("%s\nrow %v\nctx %v\nallowed %v, want %v (%v %v)", source, row, claims, got, want, value, err)
			}
			if shared && allowed != want {
				t.Fatalf("%s\nrow %v\nctx %v\nfor everybody %v, want %v", source, row, claims, allowed, want)
			}
			switch {
			case err != nil:
				outcomes["error"]++
			case want:
				outcomes["true"]++
			default:
				outcomes["false"]++
			}
		}
		if filter.UsesCtx() {
			outcomes[fmt.Sprintf("shared although it uses ctx: %v", shared)]++
		} else if !shared {
			t.Fatalf("%s does not use ctx, and is not shared", source)
		}
	})
	// What was drawn has to be worth drawing.
	for _, outcome := range []string{"error", "true", "false", "shared although it uses ctx: true", "shared although it uses ctx: false"} {
		if outcomes[outcome] == 0 {
			t.Errorf("never: %s in %v", outcome, outcomes)
		}
	}
}

// members draws some of the members that expressions name. Each has one type, or is null, or is missing.
func members(t *rapid.T, label string, names ...string) map[string]any {
	drawn := map[string]any{}
	for _, name := range names {
		if at := label + "." + name; rapid.IntRange(0, 5).Draw(t, at) > 0 {
			switch name {
			case "flag":
				drawn[name] = rapid.SampledFrom([]any{true, false, nil}).Draw(t, at)
			case "n":
				drawn[name] = rapid.SampledFrom([]any{int64(0), int64(1), int64(2), 1.0, 1.5, nil}).Draw(t, at)
			case "s":
				drawn[name] = rapid.SampledFrom([]any{"", "a", "b", "ab", nil}).Draw(t, at)
			case "l":
				drawn[name] = rapid.SampledFrom([]any{[]any{}, []any{int64(1)}, []any{int64(2), "a"}, []any{nil, 1.0}}).Draw(t, at)
			case "d":
				drawn[name] = rapid.SampledFrom([]any{map[string]any{}, map[string]any{"k": int64(1)}, map[string]any{"k": "a"}}).Draw(t, at)
			}
		}
	}
	return drawn
}

// boolean draws an expression that comes to a bool, or to an error. variables are those of the macros around it.
func boolean(t *rapid.T, depth int, variables []string) string {
	kinds := 5
	if depth > 0 {
		kinds = 15
	}
	b := func() string { return boolean(t, depth-1, variables) }
	v := func() string { return anything(t, depth-1, variables) }
	macro := func(form string) string {
		x := fmt.Sprintf("x%d", len(variables))
		return fmt.Sprintf(form, list(t, depth-1, variables), x, boolean(t, depth-1, append(variables[:len(variables):len(variables)], x)))
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "boolean") {
	case 0:
		return rapid.SampledFrom([]string{"true", "false"}).Draw(t, "literal")
	case 1:
		return "row.flag"
	case 2:
		return "ctx.flag"
	case 3:
		return "has(ctx.n)"
	case 4:
		return "row.none"
	case 5, 6:
		return "(" + b() + " && " + b() + ")"
	case 7, 8:
		return "(" + b() + " || " + b() + ")"
	case 9:
		return "!" + b()
	case 10:
		return "(" + b() + " ? " + b() + " : " + b() + ")"
	case 11:
		operator := rapid.SampledFrom([]string{"==", "!=", "<", "<=", ">", ">="}).Draw(t, "operator")
		return "(dyn(" + v() + ") " + operator + " dyn(" + v() + "))"
	case 12:
		return "(dyn(" + v() + ") in " + list(t, depth-1, variables) + ")"
	case 13:
		return macro(rapid.SampledFrom([]string{"%s.exists(%s, %s)", "%s.all(%s, %s)", "%s.exists_one(%s, %s)"}).Draw(t, "macro"))
	default:
		text := rapid.SampledFrom([]string{"row.s", "ctx.s", "row.n", "ctx.n", "row.l", "'a'"})
		return "string(" + text.Draw(t, "text") + ").startsWith(string(" + text.Draw(t, "text") + "))"
	}
}

// anything draws an expression of any type.
func anything(t *rapid.T, depth int, variables []string) string {
	leaves := append([]string{
		"0", "1", "1.0", "'a'", "null", "row.n", "row.s", "row['n']", "ctx.n", "ctx.s", "ctx['s']", "row.d.k", "ctx.d.k", "ctx.d[row.s]",
		"row.l[0]", "ctx.l[row.n]", "row.none", "ctx.none", "ctx",
	}, variables...)
	kinds := 2
	if depth > 0 {
		kinds = 9
	}
	v := func() string { return anything(t, depth-1, variables) }
	switch rapid.IntRange(0, kinds-1).Draw(t, "anything") {
	case 2:
		return "(dyn(" + v() + ") + dyn(" + v() + "))"
	case 3:
		return "(" + boolean(t, depth-1, variables) + " ? dyn(" + v() + ") : dyn(" + v() + "))"
	case 4:
		return "size(" + list(t, depth-1, variables) + ")"
	case 5:
		return "{'k': dyn(" + v() + ")}.k"
	case 6:
		return "[dyn(" + v() + "), dyn(" + v() + ")][1]"
	case 7:
		return list(t, depth-1, variables)
	case 8:
		return boolean(t, depth-1, variables)
	}
	return rapid.SampledFrom(leaves).Draw(t, "leaf")
}

// list draws an expression that comes to a list, or to an error.
func list(t *rapid.T, depth int, variables []string) string {
	kinds := 3
	if depth > 0 {
		kinds = 6
	}
	x := fmt.Sprintf("x%d", len(variables))
	inner := append(variables[:len(variables):len(variables)], x)
	switch rapid.IntRange(0, kinds-1).Draw(t, "list") {
	case 0:
		return "row.l"
	case 1:
		return "ctx.l"
	case 2:
		return "[1, 2]"
	case 3:
		return "[dyn(" + anything(t, depth-1, variables) + ")]"
	case 4:
		return list(t, depth-1, variables) + ".filter(" + x + ", " + boolean(t, depth-1, inner) + ")"
	default:
		return list(t, depth-1, variables) + ".map(" + x + ", dyn(" + anything(t, depth-1, inner) + "))"
	}
}
