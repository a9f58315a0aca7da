package usersettings_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/usersettings"
)

const (
	alice = "user:default/alice"
	bob   = "user:default/bob"
)

// ask sends a request and returns the answer.
func ask(t *testing.T, c *http.Client, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSpace(string(text))
}

// A request by one user, and its answer; an answer of an error is its text.
type step struct {
	who, method, path, body string
	status                  int
	want                    string // part of the answer
}

func run(t *testing.T, b *backendtest.Backend, steps []step) {
	t.Helper()
	for _, s := range steps {
		status, answer := ask(t, b.As(s.who), s.method, b.URL+"/api/user-settings"+s.path, s.body)
		if status != s.status || !strings.Contains(answer, s.want) || s.status == 204 && answer != "" {
			t.Errorf("%s: %s %.100s %.100s is %d %.300s, want %d %s", s.who, s.method, s.path, s.body, status, answer, s.status, s.want)
		}
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "", usersettings.Plugin())
	const mode = "/buckets/theme/keys/mode"
	run(t, b, []step{
		{alice, "GET", mode, "", 404, `no setting \"mode\" in bucket \"theme\"`},
		{alice, "PUT", mode, `{"value":"dark"}`, 200, `{"bucket":"theme","key":"mode","value":"dark"}`},
		{alice, "GET", mode, "", 200, `{"bucket":"theme","key":"mode","value":"dark"}`},
		{alice, "PUT", mode, `{"value":null}`, 200, `"value":null`},
		{alice, "PUT", mode, `{}`, 400, `required property \"value\" is missing`},
		{alice, "PUT", mode, `{`, 400, `"name":"SyntaxError"`},
		{alice, "GET", mode, "", 200, `"value":null`},

		// A key may contain slashes, encoded or not.
		{alice, "PUT", "/buckets/a%2Fb/keys/c/d%2fe", `{"value":{"z":1,"a":[true]}}`, 200, `{"bucket":"a/b","key":"c/d/e","value":{"z":1,"a":[true]}}`},
		{alice, "GET", "/buckets/a%2Fb/keys/c%2Fd/e", "", 200, `"value":{"z":1,"a":[true]}`},
		{alice, "GET", "/buckets/a/b/keys/c/d/e", "", 404, ""},
		{alice, "PUT", "/buckets/%20%2e%2e/keys/../%252F//k", `{"value":1}`, 200, `{"bucket":" ..","key":"../%2F//k","value":1}`},
		{alice, "GET", "/buckets/%20%2e%2e/keys/%2E%2E/%252F//k", "", 200, `"value":1`},

		// Everybody has their own.
		{bob, "GET", mode, "", 404, "NotFoundError"},
		{bob, "PUT", mode, `{"value":"light"}`, 200, `"light"`},
		{bob, "DELETE", "/buckets/a%2Fb/keys/c/d/e", "", 204, ""},
		{alice, "GET", "/buckets/a%2Fb/keys/c/d/e", "", 200, `"z":1`},
		{bob, "POST", "/multiget", `{"items":[{"bucket":"theme","key":"mode"},{"bucket":"a/b","key":"c/d/e"}]}`, 200, `{"items":[{"value":"light"},null]}`},

		{alice, "POST", "/multiget", `{"items":[{"bucket":"a/b","key":"c/d/e"},{"bucket":"theme","key":"nope"},{"bucket":"theme","key":"mode"},{"bucket":"a/b","key":"c/d/e"}]}`, 200,
			`{"items":[{"value":{"z":1,"a":[true]}},null,{"value":null},{"value":{"z":1,"a":[true]}}]}`},
		{alice, "POST", "/multiget", `{"items":[]}`, 200, `{"items":[]}`},
		{alice, "POST", "/multiget", `{}`, 400, `required property 'items'`},
		{alice, "POST", "/multiget", `{"items":[{"bucket":"b"}]}`, 400, `request/body/items/0 must have required property 'key'`},
		{alice, "POST", "/multiget", `{"items":[{"bucket":1,"key":"k"}]}`, 400, `request/body/items/bucket must be string`},

		{alice, "DELETE", mode, "", 204, ""},
		{alice, "DELETE", mode, "", 204, ""},
		{alice, "GET", mode, "", 404, "NotFoundError"},
		{bob, "GET", mode, "", 200, `"light"`},
	})
}

// Services have no settings, and nobody reads those of users without being that user.
func TestOnlyUsersHaveSettings(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "", usersettings.Plugin())
	for _, r := range [][3]string{
		{"GET", "/buckets/theme/keys/mode", ""}, {"PUT", "/buckets/theme/keys/mode", `{"value":1}`},
		{"DELETE", "/buckets/theme/keys/mode", ""}, {"POST", "/multiget", `{"items":[]}`},
	} {
		url := b.URL + "/api/user-settings" + r[1]
		if status, text := ask(t, b.AsPlugin("user-settings"), r[0], url, r[2]); status != 403 || !strings.Contains(text, "NotAllowedError") {
			t.Errorf("a service: %s %s is %d %s", r[0], r[1], status, text)
		}
		if status, text := ask(t, http.DefaultClient, r[0], url, r[2]); status != 401 || !strings.Contains(text, "AuthenticationError") {
			t.Errorf("nobody: %s %s is %d %s", r[0], r[1], status, text)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "userSettings: {limits: {valueBytes: 20, settingsPerUser: 3, bytesPerUser: 30, multigetItems: 2}}", usersettings.Plugin())
	long := strings.Repeat("k", 513)
	value := func(n int) string { return `{"value":"` + strings.Repeat("v", n-2) + `"}` }
	run(t, b, []step{
		{alice, "PUT", "/buckets/b/keys/" + long[1:], value(20), 200, `"vvv`},
		{alice, "PUT", "/buckets/b/keys/1", value(21), 400, "the value has 21 bytes, 20 are allowed (userSettings.limits.valueBytes)"},
		{alice, "PUT", "/buckets/b/keys/1", value(2000), 400, "must NOT be larger than 1044 bytes"},
		{alice, "PUT", "/buckets/b/keys/1", value(11), 400, "there may be 3, with 30 bytes together (userSettings.limits)"},
		{alice, "PUT", "/buckets/b/keys/1", value(2), 200, ""},
		{alice, "PUT", "/buckets/b/keys/2", value(2), 200, ""},
		{alice, "PUT", "/buckets/b/keys/3", value(2), 400, "there may be 3"},
		{alice, "PUT", "/buckets/b/keys/2", value(4), 200, ""},
		{bob, "PUT", "/buckets/b/keys/3", value(20), 200, ""},
		{alice, "PUT", "/buckets/b/keys/" + long, value(2), 400, "the key has 513 bytes, 512 are allowed"},
		{alice, "PUT", "/buckets/" + long + "/keys/a", value(2), 400, "the bucket has 513 bytes"},
		{alice, "PUT", "/buckets/a/keys/%00", value(2), 400, "is not text"},
		{alice, "PUT", "/buckets/a/keys/%ff", value(2), 400, "is not text"},
		{alice, "PUT", "/buckets/a/keys/", value(2), 400, "the key is empty"},
		{alice, "PUT", "/buckets/b/keys/2", "{\"value\":\"\xff\"}", 400, "UTF-8"},
		{alice, "POST", "/multiget", `{"items":[{"bucket":"b","key":"1"},{"bucket":"b","key":"1"},{"bucket":"b","key":"1"}]}`, 400, "has 3 elements, 2 are allowed (userSettings.limits.multigetItems)"},
		{alice, "POST", "/multiget", `{"items":[{"bucket":"b","key":"` + long + `"}]}`, 400, "the key has 513 bytes"},
	})
}

// What is asked for again and again is not sent more often than an answer may be large.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "", usersettings.Plugin())
	large := `{"value":"` + strings.Repeat("v", 100<<10-2) + `"}`
	again := func(n int) string {
		return `{"items":[` + strings.Join(slices.Repeat([]string{`{"bucket":"b","key":"k"}`}, n), ",") + `]}`
	}
	run(t, b, []step{
		{alice, "PUT", "/buckets/b/keys/k", large, 200, `"vvv`},
		{alice, "POST", "/multiget", again(163), 200, `"vvv`},
		{alice, "POST", "/multiget", again(164), 400, "ask for fewer settings at a time"},
	})
}

// The other tabs of a user, and nobody else's, are told what has changed.
func TestSignals(t *testing.T) {
	t.Parallel()
	events := &backendtest.Events{}
	b := backendtest.Start(t, "", usersettings.Plugin(),
		backend.NewPluginService(func(backend.PluginID, backend.Events) (backend.Events, error) { return events, nil }))
	run(t, b, []step{
		{alice, "PUT", "/buckets/b/keys/a/k", `{"value":1}`, 200, ""},
		{alice, "PUT", "/buckets/b/keys/a/k", `{}`, 400, "required"},
		{alice, "GET", "/buckets/b/keys/a/k", "", 200, ""},
		{bob, "DELETE", "/buckets/b/keys/a/k", "", 204, ""}, // there is none
		{alice, "DELETE", "/buckets/b/keys/a/k", "", 204, ""},
	})
	want := []string{
		`{"recipients":{"type":"user","entityRef":"user:default/alice"},"channel":"user-settings","message":{"type":"key-changed","key":"a/k"}}`,
		`{"recipients":{"type":"user","entityRef":"user:default/alice"},"channel":"user-settings","message":{"type":"key-deleted","key":"a/k"}}`,
	}
	var got []string
	for _, e := range events.Published("signals") {
		got = append(got, string(e.Payload))
	}
	if !slices.Equal(got, want) {
		t.Errorf("published\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A setting is stored when nobody can be told of it.
func TestSettingsAreStoredWithoutEvents(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "events: {useEventBus: always}", usersettings.Plugin(), backend.NewPlugin("other", fx.Invoke(func() {})))
	run(t, b, []step{
		{alice, "PUT", "/buckets/b/keys/k", `{"value":1}`, 200, ""},
		{alice, "GET", "/buckets/b/keys/k", "", 200, ""},
	})
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	_, err := backendtest.Boot(t, "userSettings: {limits: {valueBytes: 100, bytesPerUser: 50, multigetItems: 0}}", usersettings.Plugin())
	if err == nil {
		t.Fatal("it starts")
	}
	for _, want := range []string{"userSettings.limits.multigetItems: must be at least 1", "userSettings.limits.bytesPerUser: is smaller than valueBytes"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
	}
}
