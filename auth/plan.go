package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// planNode is what is looked at of a plan (PostgreSQL manual, "EXPLAIN").
type planNode struct {
	Type     string     `json:"Node Type"`
	Strategy string     `json:"Strategy"`
	Filter   string     `json:"Filter"`
	OneTime  string     `json:"One-Time Filter"`
	Relation string     `json:"Parent Relationship"`
	Plans    []planNode `json:"Plans"`
}

// alwaysOneRow tells whether a plan returns one row whatever the tables hold: an aggregate over everything, or a row that is
// read from nowhere.
func alwaysOneRow(plan string) bool {
	var plans []struct{ Plan planNode }
	if json.Unmarshal([]byte(plan), &plans) != nil || len(plans) != 1 {
		return false
	}
	for node := plans[0].Plan; node.Filter == "" && node.OneTime == ""; {
		var input []planNode
		for _, child := range node.Plans {
			if child.Relation == "Outer" || child.Relation == "Subquery" {
				input = append(input, child)
			}
		}
		switch {
		case node.Type == "Aggregate" && node.Strategy == "Plain", node.Type == "Result" && len(input) == 0:
			return true
		case node.Type == "Limit", node.Type == "Sort", node.Type == "Subquery Scan", node.Type == "Result", node.Type == "Unique":
		default:
			return false
		}
		if len(input) != 1 {
			return false
		}
		node = input[0]
	}
	return false
}

// coded tells whether an error is one that the server told, and the connection goes on.
func coded(err error) bool {
	var told interface{ SQLState() string }
	return errors.As(err, &told) && err != nil && told.SQLState() != "" && !terminated(told.SQLState())
}

// terminated are the codes with which a server ends a connection (PostgreSQL manual, "PostgreSQL Error Codes").
func terminated(code string) bool {
	switch code {
	case "57P01", "57P02", "57P03", "57P04", "57P05":
		return true
	}
	return false
}

// aboutValues tells whether a query failed because of the values that it was run with: NULL may be what no client has. These
// are data exceptions, and what a function raises.
func aboutValues(err error) bool {
	var told interface{ SQLState() string }
	return errors.As(err, &told) && (strings.HasPrefix(told.SQLState(), "22") || strings.HasPrefix(told.SQLState(), "P0"))
}

// unfit tells whether the server did not take a text for a value of the parameter's type.
func unfit(err error) bool {
	var told interface{ SQLState() string }
	if !errors.As(err, &told) {
		return false
	}
	switch told.SQLState() {
	case "22P02", "22P03", "22003", "22007", "22008", "22021", "22001", "22026":
		return true
	}
	return false
}

// failed is the refusal for a query that failed. A server's error may quote the values, so only its code is told.
func failed(err error) *Denied {
	var told interface{ SQLState() string }
	switch {
	case errors.Is(err, errGivesNothing), errors.Is(err, errSeveral):
		return &Denied{Reason: Unavailable, cause: err}
	case errors.As(err, &told):
		return &Denied{Reason: Unavailable, detail: fmt.Sprintf("the query failed with SQLSTATE %s", told.SQLState())}
	}
	return denyf(Unavailable, "the query failed")
}
