package usersettings

import (
	"errors"
	"log/slog"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/usersettings/internal/store"
)

const pluginID = "user-settings"

// Config is the subtree userSettings.
type Config struct {
	Limits Limits `config:"limits"`
}

// Limits bound what users may keep and ask for.
type Limits struct {
	ValueBytes      int `config:"valueBytes" doc:"largest value, as JSON"`
	SettingsPerUser int `config:"settingsPerUser" doc:"how many settings one user may have"`
	BytesPerUser    int `config:"bytesPerUser" doc:"how large all values of one user may be together"`
	MultigetItems   int `config:"multigetItems" doc:"how many settings one request may ask for"`
}

// Validate implements config.Validator.
func (l *Limits) Validate() error {
	var errs []error
	for _, v := range []struct {
		key   string
		value int
	}{{"valueBytes", l.ValueBytes}, {"settingsPerUser", l.SettingsPerUser}, {"bytesPerUser", l.BytesPerUser}, {"multigetItems", l.MultigetItems}} {
		if v.value < 1 {
			errs = append(errs, config.At(v.key, errors.New("must be at least 1")))
		}
	}
	if l.BytesPerUser < l.ValueBytes {
		errs = append(errs, config.At("bytesPerUser", errors.New("is smaller than valueBytes")))
	}
	return errors.Join(errs...)
}

// The frontend keeps lists of up to a hundred visits and of starred entities: some
// kilobytes each. A value may be as large as upstream's body parser lets through.
var defaults = Config{Limits: Limits{ValueBytes: 100 << 10, SettingsPerUser: 1000, BytesPerUser: 5 << 20, MultigetItems: 1000}}

// Plugin keeps settings of users.
func Plugin() backend.Feature {
	return backend.NewPlugin(pluginID,
		backend.Section("userSettings", defaults),
		backend.Migrations(store.Migrations()),
		fx.Invoke(register),
	)
}

type params struct {
	fx.In

	Config Config
	DB     db.DB
	Events backend.Events
	Router backend.Router
	Log    *slog.Logger
}

func register(p params) {
	a := &api{store: store.New(p.DB), limits: p.Config.Limits, signals: signals{p.Events, p.Log}}
	p.Router.Handle("GET /buckets/{bucket}/keys/{key...}", a.get)
	p.Router.Handle("PUT /buckets/{bucket}/keys/{key...}", a.put)
	p.Router.Handle("DELETE /buckets/{bucket}/keys/{key...}", a.delete)
	p.Router.Handle("POST /multiget", a.multiget)
}
