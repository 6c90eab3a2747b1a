package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// defaultFile is read when there is no --config, if it exists. otherFile is what people call it who will wonder.
const (
	defaultFile = "reactive.yaml"
	otherFile   = "reactive.yml"
)

// Flags returns a flag for every setting and --config. They read no environment and check nothing: Load does both, so
// that a bad value is reported in the same way wherever it comes from.
func Flags() []cli.Flag {
	flags := []cli.Flag{&cli.StringFlag{Name: "config", Value: defaultFile,
		Usage: "configuration `FILE`; the default one may be absent [$REACTIVE_CONFIG]"}}
	for _, s := range settings() {
		usage := s.usage + " [$" + strings.Join(s.env(), ", $") + "]"
		switch s.kind {
		case kindBoolean:
			flags = append(flags, &cli.BoolFlag{Name: s.flag(), Usage: usage})
		case kindList:
			flags = append(flags, &cli.StringSliceFlag{Name: s.flag(), Usage: usage})
		default:
			flags = append(flags, &cli.StringFlag{Name: s.flag(), Usage: usage, Value: s.fallback})
		}
	}
	return flags
}

// Load reads the configuration of a command that has Flags. The error is an *Error with everything that is wrong. A
// value in the file that a flag or the environment overrides is not looked at. A variable that begins as the gateway's own
// do and is none of them is a mistake, as an unknown key in the file is.
func Load(c *cli.Context) (*Config, error) {
	d, err := open(c)
	if err != nil {
		return nil, err
	}
	return resolve(d, func(s setting) (string, []string) { return outside(c, s) })
}

// LoadWith is Load for a program that brings its own database and its own file: content stands in for the file, name for
// the file's path in errors, and database is the connection string whatever else says so.
func LoadWith(c *cli.Context, name string, content []byte, database Secret) (*Config, error) {
	d := parse(name, content, os.LookupEnv)
	d.environment = ourVariables(os.Environ())
	return resolve(d, func(s setting) (string, []string) {
		if s.secret {
			return "the database", []string{database.Reveal()}
		}
		return outside(c, s)
	})
}

// Parse is Load for a program that has the gateway in it: content stands in for the file, name for the file's path in errors,
// and database, which errors call databaseName, is the connection string. There are no flags, and of the environment only
// what content names as ${NAME}.
func Parse(name string, content []byte, databaseName string, database Secret) (*Config, error) {
	d := parse(name, content, os.LookupEnv)
	if d.root == nil {
		d.absent = name + " is empty"
	}
	return resolve(d, func(s setting) (string, []string) {
		if s.secret {
			return databaseName, []string{database.Reveal()}
		}
		return "", nil
	})
}

// open reads the file that was named, or the default one.
func open(c *cli.Context) (*document, error) {
	file, named := os.LookupEnv("REACTIVE_CONFIG")
	if at := setAt(c, "config"); at != nil {
		file, named = at.String("config"), true
	}
	if !named {
		file = defaultFile
	}
	content, err := os.ReadFile(file)
	absent := ""
	switch {
	case err != nil && !named && errors.Is(err, fs.ErrNotExist):
		// Everything may come from flags and the environment.
		if _, err := os.Stat(otherFile); err == nil {
			return nil, NewError(Problem{File: otherFile, Key: "config", Problem: "is not read: only " + defaultFile + " is where no file is named",
				Fix: "rename it, or write --config " + otherFile})
		}
		if path, err := filepath.Abs(file); err == nil {
			file = path
		}
		absent = "there is no file " + file
	case err != nil:
		cause := err
		if pathError, ok := errors.AsType[*fs.PathError](err); ok {
			cause = pathError.Err
		}
		if quote(file) == hidden {
			file = hidden
		}
		return nil, NewError(Problem{File: file, Key: "config", Problem: "cannot be read: " + cause.Error(),
			Fix: "give --config or REACTIVE_CONFIG the path of a file that this process may read"})
	}
	d := parse(file, content, os.LookupEnv)
	d.absent, d.environment = absent, ourVariables(os.Environ())
	return d, nil
}

// outside finds a setting in the flags or else in the environment: the name that gave it, and its text, or for a list
// its texts. The name is empty when nobody gave it.
func outside(c *cli.Context, s setting) (name string, texts []string) {
	flag := s.flag()
	if c := setAt(c, flag); c != nil {
		switch s.kind {
		case kindBoolean:
			return "--" + flag, []string{strconv.FormatBool(c.Bool(flag))}
		case kindList:
			return "--" + flag, elements(strings.Join(c.StringSlice(flag), ","))
		default:
			return "--" + flag, []string{c.String(flag)}
		}
	}
	for _, name := range s.env() {
		if text, set := os.LookupEnv(name); set && s.kind == kindList {
			return name, elements(text)
		} else if set {
			return name, []string{text}
		}
	}
	return "", nil
}

// setAt returns the innermost of the commands on the line that was given the flag, or nil: a flag may stand before or
// behind a subcommand's name.
func setAt(c *cli.Context, flag string) *cli.Context {
	for _, command := range c.Lineage() {
		if command.IsSet(flag) {
			return command
		}
	}
	return nil
}

// elements splits a list that was written with commas; the empty text is the empty list.
func elements(text string) []string {
	if text == "" {
		return nil
	}
	list := strings.Split(text, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}
