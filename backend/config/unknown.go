package config

import "reflect"

// keysOf lists the keys that a value of type t may have, nil if t is no struct.
func keysOf(t reflect.Type) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return names(fieldsOf(t))
}
