package wal

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// Answer is what a query gave for one list of arguments.
type Answer struct {
	// Row tells whether there was a row, and First is the first column of the first one in text format; nil is NULL.
	Row   bool
	First *string
	// Err is why there is no answer. AtBind says that it came before the query ran: the server did not take the arguments.
	Err    error
	AtBind bool
}

// Ask runs a query once for each list of arguments, in one round trip. Each run stands alone: the error of one changes no
// other. Arguments are in text format, and nil is NULL. The error says that the query cannot be prepared, or that the
// connection failed: then there are no answers.
func Ask(ctx context.Context, conn *pgconn.PgConn, sql string, arguments [][]*string) (answers []Answer, err error) {
	pipeline := conn.StartPipeline(ctx)
	defer func() {
		var refused *pgconn.PgError
		if closed := pipeline.Close(); err == nil && !errors.As(closed, &refused) {
			err = closed
		}
	}()
	pipeline.SendPrepare("", sql, nil)
	pipeline.SendPipelineSync()
	for _, list := range arguments {
		values := make([][]byte, len(list))
		for i, text := range list {
			if text != nil {
				values[i] = []byte(*text)
			}
		}
		pipeline.SendQueryPrepared("", values, nil, nil)
		pipeline.SendPipelineSync() // an error ends at it
	}
	if err := pipeline.Flush(); err != nil {
		return nil, err
	}
	if err := untilSync(pipeline, func(any) error { return nil }); err != nil {
		return nil, err
	}
	for range arguments {
		a, err := readAnswer(pipeline)
		if err != nil {
			return nil, err
		}
		answers = append(answers, a)
	}
	return answers, nil
}

// readAnswer reads up to the next sync. An error of the query is part of the answer.
func readAnswer(pipeline *pgconn.Pipeline) (a Answer, err error) {
	ran := false
	err = untilSync(pipeline, func(result any) error {
		reader, ok := result.(*pgconn.ResultReader)
		if !ok {
			return nil
		}
		ran = true
		for reader.NextRow() {
			values := reader.Values()
			if !a.Row && len(values) > 0 && values[0] != nil {
				text := string(values[0])
				a.First = &text
			}
			a.Row = true
		}
		_, err := reader.Close()
		return err
	})
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return Answer{Err: err, AtBind: !ran}, nil
	}
	return a, err
}

// untilSync takes results up to the next sync. It goes on to that behind an error of the server, and returns the error.
func untilSync(pipeline *pgconn.Pipeline, take func(result any) error) (failed error) {
	for {
		result, err := pipeline.GetResults()
		if err == nil && result == nil {
			return errors.Join(failed, errors.New("the server's answer ends too early"))
		}
		if _, ended := result.(*pgconn.PipelineSync); ended {
			return failed
		}
		if err == nil {
			err = take(result)
		}
		var refused *pgconn.PgError
		switch {
		case err != nil && !errors.As(err, &refused):
			return err
		case err != nil && failed == nil:
			failed = err
		}
		if refused != nil && (refused.Severity == "FATAL" || refused.SeverityUnlocalized == "FATAL") {
			return errors.Join(errFatal, err)
		}
	}
}

// errFatal says that the server has ended the connection.
var errFatal = errors.New("the server ended the connection")
