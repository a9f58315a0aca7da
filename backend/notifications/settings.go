package notifications

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/notifications/internal/store"
)

// A settingKey is a channel, an origin on it, or a topic of the origin.
type settingKey struct{ channel, origin, topic string }

// settings are what somebody has settled; what is absent is left to the defaults.
type settings map[settingKey]bool

// enabled reports whether a user wants what is about a topic of an origin on a channel: the
// origin must not be turned off, and neither must the topic. An origin that nobody speaks
// of is what the channel is.
func enabled(user, def settings, channel, origin, topic string) bool {
	on := setting(user, def, true, settingKey{channel, origin, ""}, settingKey{channel, "", ""})
	if !on || topic == "" {
		return on
	}
	return setting(user, def, true, settingKey{channel, origin, topic})
}

// setting is the user's word, or else the default, for the first of the keys that has any.
func setting(user, def settings, otherwise bool, keys ...settingKey) bool {
	for _, k := range keys {
		if on, ok := user[k]; ok {
			return on
		}
		if on, ok := def[k]; ok {
			return on
		}
	}
	return otherwise
}

// settingsOf returns the settings of some users.
func (p *plugin) settingsOf(ctx context.Context, users []string) (map[string]settings, error) {
	out := make(map[string]settings, len(users))
	if len(users) == 0 {
		return out, nil
	}
	list, err := p.store.Settings(ctx, users)
	if err != nil {
		return nil, err
	}
	for _, v := range list {
		if out[v.User] == nil {
			out[v.User] = settings{}
		}
		out[v.User][settingKey{v.Channel, v.Origin, v.Topic}] = v.Enabled
	}
	return out, nil
}

// The form of settings in the API.
type (
	wireSettings struct {
		Channels []wireChannel `json:"channels"`
	}
	wireChannel struct {
		ID      string       `json:"id"`
		Enabled *bool        `json:"enabled,omitempty"`
		Origins []wireOrigin `json:"origins"`
	}
	wireOrigin struct {
		ID      string      `json:"id"`
		Enabled *bool       `json:"enabled"`
		Topics  []wireTopic `json:"topics"`
	}
	wireTopic struct {
		ID      string `json:"id"`
		Enabled *bool  `json:"enabled"`
	}
)

// getSettings is GET /settings: what a user has of every channel, for the origins that the
// user has notifications of, and those that the defaults name.
func (p *plugin) getSettings(w http.ResponseWriter, r *http.Request) error {
	user, err := userOf(r)
	if err != nil {
		return err
	}
	return p.showSettings(w, r, user)
}

func (p *plugin) showSettings(w http.ResponseWriter, r *http.Request, user string) error {
	all, err := p.settingsOf(r.Context(), []string{user})
	if err != nil {
		return err
	}
	known, err := p.store.Origins(r.Context(), user)
	if err != nil {
		return err
	}
	own, out := all[user], wireSettings{Channels: []wireChannel{}}
	for _, channel := range p.channels {
		c := wireChannel{ID: channel, Origins: []wireOrigin{}}
		if !setting(own, p.defaults, true, settingKey{channel, "", ""}) {
			off := false
			c.Enabled = &off
		}
		for _, o := range withDefaults(known, p.defaults, channel) {
			on := enabled(own, p.defaults, channel, o.Origin, "")
			i := slices.IndexFunc(c.Origins, func(w wireOrigin) bool { return w.ID == o.Origin })
			if i < 0 {
				i = len(c.Origins)
				c.Origins = append(c.Origins, wireOrigin{ID: o.Origin, Enabled: &on, Topics: []wireTopic{}})
			}
			if o.Topic != "" {
				topicOn := setting(own, p.defaults, true, settingKey{channel, o.Origin, o.Topic})
				c.Origins[i].Topics = append(c.Origins[i].Topics, wireTopic{o.Topic, &topicOn})
			}
		}
		out.Channels = append(out.Channels, c)
	}
	return httpx.JSON(w, http.StatusOK, out)
}

// withDefaults adds to the origins and topics of a user those that the defaults name.
func withDefaults(known []store.Origin, def settings, channel string) []store.Origin {
	out := slices.Clone(known)
	for k := range def {
		if k.channel == channel && k.origin != "" {
			out = append(out, store.Origin{Origin: k.origin, Topic: k.topic})
		}
	}
	slices.SortFunc(out, func(a, b store.Origin) int {
		if c := strings.Compare(a.Origin, b.Origin); c != 0 {
			return c
		}
		return strings.Compare(a.Topic, b.Topic)
	})
	return slices.Compact(out)
}

// Bounds of what a user may settle.
const (
	maxSettings    = 10_000
	maxSettingName = 255
)

// setSettings is POST /settings: it replaces what the user has settled for these channels.
func (p *plugin) setSettings(w http.ResponseWriter, r *http.Request) error {
	user, err := userOf(r)
	if err != nil {
		return err
	}
	var body struct {
		Channels *[]wireChannel `json:"channels"`
	}
	if err := httpx.DecodeJSON(r, &body); err != nil {
		return err
	}
	if body.Channels == nil {
		return httpx.Missing("", "channels")
	}
	channels, list, err := p.readSettings(user, *body.Channels)
	if err != nil {
		return err
	}
	if err := p.store.SetSettings(r.Context(), user, channels, list); err != nil {
		return err
	}
	return p.showSettings(w, r, user)
}

func (p *plugin) readSettings(user string, in []wireChannel) (channels []string, list []store.Setting, err error) {
	rows := map[settingKey]bool{}
	add := func(on *bool, k settingKey) error {
		switch {
		case on == nil:
			return apierr.Input.New("request/body/channels: %q has no member enabled", strings.Trim(k.origin+" "+k.topic, " "))
		case len(k.origin) > maxSettingName || len(k.topic) > maxSettingName || !isText(k.origin, k.topic):
			return apierr.Input.New("request/body/channels: the id of an origin or topic has more than %d bytes, or is no text", maxSettingName)
		}
		rows[k] = *on
		return nil
	}
	for _, c := range in {
		if !slices.Contains(p.channels, c.ID) {
			return nil, nil, apierr.Input.New("Invalid channel")
		}
		channels = append(channels, c.ID)
		if c.Enabled != nil {
			rows[settingKey{c.ID, "", ""}] = *c.Enabled
		}
		for _, o := range c.Origins {
			if o.ID == "" {
				return nil, nil, apierr.Input.New("request/body/channels: an origin has no id")
			}
			if err := add(o.Enabled, settingKey{c.ID, o.ID, ""}); err != nil {
				return nil, nil, err
			}
			for _, t := range o.Topics {
				if t.ID == "" {
					return nil, nil, apierr.Input.New("request/body/channels: a topic has no id")
				}
				if err := add(t.Enabled, settingKey{c.ID, o.ID, t.ID}); err != nil {
					return nil, nil, err
				}
			}
		}
	}
	if len(rows) > maxSettings {
		return nil, nil, apierr.Input.New("request/body/channels must NOT have more than %d settings", maxSettings)
	}
	for k, on := range rows {
		list = append(list, store.Setting{User: user, Channel: k.channel, Origin: k.origin, Topic: k.topic, Enabled: on})
	}
	return channels, list, nil
}
