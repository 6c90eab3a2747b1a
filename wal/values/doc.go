// Package values turns a column value in PostgreSQL's text output format into the JSON that PostgreSQL's own
// to_jsonb(row) holds for that column: the same JSON value, not the same bytes. It is the one encoder for every way
// that a row reaches us (WAL, snapshot, notification), so that a row looks the same whichever way it came.
//
// It holds the text of a connection with the session settings of [Settings], which every connection that reads rows
// must have. A [Catalog] knows the types of one database; the encoder that it gives for a type holds everything it
// needs, so the hot path takes no lock, asks no database and allocates nothing but the output.
//
// What to_jsonb does (PostgreSQL manual, section 9.16.1, and json_categorize_type in its source), and so what is done
// here:
//
//   - Booleans and numbers are JSON booleans and numbers, but NaN and the infinities are strings. With
//     [Options].BigintAsString, int8 and numeric are strings too.
//   - json and jsonb are embedded. Of a key given twice the last one counts, as for every reader of JSON.
//   - timestamp and timestamptz are ISO 8601 strings ("2024-02-29T12:00:00+00:00"), with " BC" after those before
//     year 1; "infinity" stays.
//   - Arrays are arrays, nested by dimension, whatever their lower bounds; composites are objects without the dropped
//     attributes; domains are what their base type is.
//   - Everything else, ranges and enums included, is a string of its text.
//
// Two things differ, both on purpose. A type with a cast to json of its own (hstore, PostGIS's geometry) is a string,
// for the cast runs in the server only. A json document nested deeper than 9,000 levels is a string, for encoding/json
// would refuse the frame.
//
// The package must not know where text comes from, nor what becomes of the JSON.
package values
