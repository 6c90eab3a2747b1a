// Package config reads what an operator gives to the command: flags, then environment variables, then the file
// reactive.yaml, then defaults. Every name follows from the key in the file: logLevel is --log-level and
// REACTIVE_LOG_LEVEL.
//
// It is strict. A key that nobody knows, a value of the wrong type or a setting that contradicts another one ends the
// start with an *Error that lists all problems, each with its place and what to write instead. A secret never appears in
// an error, whether it was given where it belongs or by mistake somewhere else.
//
// It must not know what the settings are for: it opens no connection, asks no catalog and starts nothing. Who finds
// out later that a configured table does not exist reports that with Config.Problem, at the same file and line.
package config
