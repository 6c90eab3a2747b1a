package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

const variablePrefix = "REACTIVE_"

// sections are the keys at the top of the file that have neither a flag nor a variable: they hold more than one value.
func sections() []string { return []string{"authenticate", "ingest", "reactive", "resume"} }

// ourVariables picks those of an environment that begin as the gateway's own do.
func ourVariables(environment []string) map[string]string {
	ours := map[string]string{}
	for _, entry := range environment {
		if name, value, ok := strings.Cut(entry, "="); ok && strings.HasPrefix(name, variablePrefix) {
			ours[name] = value
		}
	}
	return ours
}

var variableInText = regexp.MustCompile(variablePrefix + `[A-Za-z0-9_]+`)

// mentionedVariables finds those that a file names, as ${NAME} or as tokenEnv and secretEnv do.
func mentionedVariables(content []byte) []string {
	return slices.Compact(slices.Sorted(slices.Values(variableInText.FindAllString(string(content), -1))))
}

// unknownVariables reports variables that have no effect and were surely meant to have one.
func unknownVariables(environment map[string]string, mentioned []string) []Problem {
	// The last two are of the command tail, and of the example of the file.
	known := []string{"REACTIVE_CONFIG", "REACTIVE_TOKEN", "REACTIVE_INGEST_TOKEN"}
	for _, s := range settings() {
		known = append(known, s.env()...)
	}
	var problems []Problem
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		if slices.Contains(known, name) || slices.Contains(mentioned, name) || strings.HasPrefix(name, "REACTIVE_TEST_") || fromOrchestrator(name, environment) {
			continue
		}
		p := Problem{Key: name, Problem: "is no variable that the gateway reads", Fix: "unset it: reactive-gw --help lists those that there are"}
		if section, ok := sectionOf(name); ok {
			p.Problem, p.Fix = "has no effect: "+section+" has no variable", "write "+section+" into the file, with ${NAME} where a value comes from the environment"
		} else if near, ok := nearestVariable(name, known); ok {
			p.Fix = "write " + near + ", or unset it"
		}
		problems = append(problems, p)
	}
	return problems
}

// nearestVariable compares without what all have in common.
func nearestVariable(name string, known []string) (string, bool) {
	var rest []string
	for _, k := range known {
		if short, ok := strings.CutPrefix(k, variablePrefix); ok {
			rest = append(rest, short)
		}
	}
	near, ok := Nearest(strings.TrimPrefix(name, variablePrefix), rest)
	return variablePrefix + near, ok
}

// sectionOf tells which section of the file a variable was meant for.
func sectionOf(name string) (string, bool) {
	for _, section := range sections() {
		if rest, ok := strings.CutPrefix(name, variablePrefix+strings.ToUpper(section)); ok && (rest == "" || rest[0] == '_') {
			return section, true
		}
	}
	return "", false
}

// fromOrchestrator tells whether a variable is one of those that Kubernetes and Docker give to every container of a place
// where a service has a name like reactive-gw (Kubernetes documentation, "Accessing the Service").
func fromOrchestrator(name string, environment map[string]string) bool {
	for other := range environment {
		service, ok := strings.CutSuffix(other, "_SERVICE_HOST")
		if ok && (strings.HasPrefix(name, service+"_SERVICE_") || strings.HasPrefix(name, service+"_PORT")) {
			return true
		}
	}
	at := strings.Index(name, "_PORT")
	if at < 0 {
		return false
	}
	link := environment[name[:at+len("_PORT")]]
	return strings.HasPrefix(link, "tcp://") || strings.HasPrefix(link, "udp://")
}

// strandedVariables reports an environment that configures a gateway for other machines while the file is missing that
// would say what they may see: it was forgotten, or the program was started in another folder.
func (c *Config) strandedVariables(environment map[string]string) []Problem {
	if c.absent == "" || loopback(c.Listen) {
		return nil
	}
	var set []string
	for _, s := range settings() {
		name := s.env()[0]
		if _, is := environment[name]; is {
			set = append(set, name)
		}
	}
	if len(set) == 0 {
		return nil
	}
	slices.Sort(set)
	return []Problem{c.Problem("listen",
		fmt.Sprintf("other machines reach %s, the environment configures the gateway (%s), and %s with reactive and authenticate", c.Listen, strings.Join(set, ", "), c.absent),
		"put the file there, or name it by --config or REACTIVE_CONFIG; if everyone may read every table, write a file with allowAnonymous: true")}
}
