package config

import (
	"fmt"
	"strings"
)

// substitute replaces the ${VAR} of s. It returns the variables it used, and the
// reason, in the words of an error, if the value as a whole is undefined.
//
//	${VAR}            the variable, trimmed
//	${VAR:-fallback}  fallback, trimmed, if the variable is unset or empty
//	$${VAR}           the text ${VAR}
func substitute(s string, env lookup) (out string, vars []string, undefined string, err error) {
	var b strings.Builder
	for {
		start := strings.Index(s, "${")
		if start < 0 {
			b.WriteString(s)
			return b.String(), vars, undefined, nil
		}
		size := strings.IndexAny(s[start+2:], "{}")
		if size < 0 || s[start+2+size] == '{' {
			// "${{ parameters.x }}" and a lone "${" are text, but a fallback with
			// a variable of its own would silently become something else.
			if size > 0 && strings.HasSuffix(s[start+2:start+2+size], "$") && strings.Contains(s[start+2:start+2+size], ":-") {
				return "", vars, "", fmt.Errorf("a fallback cannot contain another ${...}")
			}
			b.WriteString(s[:start+2])
			s = s[start+2:]
			continue
		}
		before, body := s[:start], s[start+2:start+2+size]
		s = s[start+2+size+1:]
		if strings.HasSuffix(before, "$") {
			b.WriteString(before[:len(before)-1] + "${" + body + "}")
			continue
		}
		b.WriteString(before)
		name, fallback, hasFallback := strings.Cut(body, ":-")
		name, fallback = strings.TrimSpace(name), strings.TrimSpace(fallback)
		vars = append(vars, name)
		value, set := env(name)
		value = strings.TrimSpace(value)
		switch {
		case hasFallback && value == "" && fallback == "":
			undefined = fmt.Sprintf("environment variable %s is not set, and its fallback is empty", name)
		case hasFallback && value == "":
			b.WriteString(fallback)
		case name == "":
			undefined = "${} names no environment variable"
		case !set && undefined == "":
			undefined = fmt.Sprintf("environment variable %s is not set", name)
		default:
			b.WriteString(value)
		}
	}
}

// lookup finds an environment variable.
type lookup func(name string) (string, bool)

// lookupIn looks in a list of the form of os.Environ.
func lookupIn(environ []string) lookup {
	vars := make(map[string]string, len(environ))
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok {
			vars[name] = value
		}
	}
	return func(name string) (string, bool) {
		value, ok := vars[name]
		return value, ok
	}
}
