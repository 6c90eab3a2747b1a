package config

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"
)

// Source is the way by which a table's changes come.
type Source string

// The sources.
const (
	SourceWAL    Source = "wal"
	SourceNotify Source = "notify"
	SourceHook   Source = "hook"
)

// Ingest says how events come that the log does not bring.
type Ingest struct {
	Notify *NotifyIngest // nil: nothing listens
	Hook   *HookIngest   // nil: there is no path for them
}

// NotifyIngest configures LISTEN.
type NotifyIngest struct {
	// Channel is of PostgreSQL, as the catalog would have it; it has nothing to do with those that clients subscribe to.
	Channel string
	// TrustNotify: the operator knows that every role that can connect can forge these events.
	TrustNotify bool
}

// HookIngest configures POST.
type HookIngest struct {
	// Path is on the public address.
	Path string
	// TokenEnv is the environment variable with the token that a request has to have.
	TokenEnv string
}

// String is for the log.
func (i *Ingest) String() string {
	var notify, hook string
	if i != nil && i.Notify != nil {
		notify = i.Notify.Channel
	}
	if i != nil && i.Hook != nil {
		hook = i.Hook.Path
	}
	return fmt.Sprintf("{notify=%s hook=%s}", notify, hook)
}

// The defaults of the ingest section.
const (
	DefaultNotifyChannel = "mtbreactive"
	defaultHookPath      = "/ingest"
	defaultTokenEnv      = "REACTIVE_INGEST_TOKEN"
)

// ingest reads the section of that name.
func (d *document) ingest(path string, node ast.Node) *Ingest {
	i := &Ingest{}
	before := len(d.problems)
	d.mapping(path, node, []key{
		{"notify", func(path string, node ast.Node) {
			i.Notify = &NotifyIngest{Channel: DefaultNotifyChannel}
			d.mapping(path, node, []key{
				{"channel", one(d, kindText, catalogName, &i.Notify.Channel)},
				{"trustNotify", one(d, kindBoolean, trueOrFalse, &i.Notify.TrustNotify)},
			})
		}},
		{"hook", func(path string, node ast.Node) {
			i.Hook = &HookIngest{Path: defaultHookPath, TokenEnv: defaultTokenEnv}
			d.mapping(path, node, []key{
				{"path", one(d, kindText, urlPath, &i.Hook.Path)},
				{"tokenEnv", one(d, kindText, plainText, &i.Hook.TokenEnv)},
			})
		}},
	})
	if len(d.problems) == before && i.Notify == nil && i.Hook == nil {
		d.failAt(path, "ingest says nothing", "write notify, hook or both")
	}
	return i
}

// ingestContradictions reports sources and sections that do not go together.
func (c *Config) ingestContradictions() []Problem {
	var problems []Problem
	listens, posts := c.Ingest != nil && c.Ingest.Notify != nil, c.Ingest != nil && c.Ingest.Hook != nil
	used := map[Source]bool{}
	for i, entry := range c.Reactive {
		used[entry.Source] = true
		if entry.Source == SourceNotify && !listens {
			problems = append(problems, c.Problem(fmt.Sprintf("reactive[%d].source", i),
				"source is notify, and nothing listens", "write ingest: {notify: {channel: mtbreactive, trustNotify: true}}"))
		}
	}
	if listens && !used[SourceNotify] {
		problems = append(problems, c.Problem("ingest.notify",
			"nothing comes by notify", "write source: notify into an entry under reactive, or delete the key"))
	}
	if listens && used[SourceNotify] && !c.Ingest.Notify.TrustNotify {
		problems = append(problems, c.Problem("ingest.notify",
			"every role that can connect to the database can NOTIFY, and so forge the events of source: notify",
			"write trustNotify: true into ingest.notify if you trust every such role, or use source: hook, which takes events by POST with a token and by mtbreactive.emit, which is granted to roles"))
	}
	if posts && !used[SourceHook] {
		problems = append(problems, c.Problem("ingest.hook",
			"nothing comes by hook", "write source: hook into an entry under reactive, or delete the key"))
	}
	if posts && c.Ingest.Hook.Path == c.Path {
		problems = append(problems, c.Problem("ingest.hook.path",
			fmt.Sprintf("%s is the path of the WebSocket too", c.Path), "write another path, such as /ingest"))
	}
	return problems
}
