package scheduler_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata" // the time zones below, wherever the tests run

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/internal/scheduler"
)

const day = 24 * time.Hour

func cron(line string) config.Schedule {
	return config.Schedule{Frequency: config.Cadence{Cron: line}, Timeout: config.Duration(time.Minute)}
}

func delayed(s config.Schedule, d time.Duration) config.Schedule {
	s.InitialDelay = config.Duration(d)
	return s
}

var manual = config.Schedule{Frequency: config.Cadence{Manual: true}, Timeout: config.Duration(time.Minute)}

// TestWhenATaskIsDue holds the rule of each cadence: before the first run, after a run, and
// when a known task is registered again.
func TestWhenATaskIsDue(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(text string) time.Time {
		if text == "" {
			return time.Time{}
		}
		v, err := time.ParseInLocation("2006-01-02 15:04:05", text, berlin)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	const noon = "2026-01-10 12:00:00"
	for _, tt := range []struct {
		name                string
		schedule            config.Schedule
		due, now            string
		first, next, latest string
	}{
		{"a period", every(time.Hour, time.Minute), "2026-01-10 11:59:00", noon,
			noon, "2026-01-10 12:59:00", "2026-01-10 13:00:00"},
		{"a period of 30 days", every(30*day, time.Minute), "2026-01-10 11:59:00", noon,
			noon, "2026-02-09 11:59:00", "2026-02-09 12:00:00"},
		{"30 days over the change to summer time are 720 hours", every(30*day, time.Minute), "2026-03-10 12:00:00", "2026-03-10 12:00:00",
			"2026-03-10 12:00:00", "2026-04-09 13:00:00", "2026-04-09 13:00:00"},
		{"runs that were missed are not caught up on", every(time.Minute, time.Minute), "2026-01-10 08:00:00", noon,
			noon, noon, "2026-01-10 12:01:00"},
		{"a delay is before the first run only", delayed(every(time.Hour, time.Minute), 10*time.Minute), noon, noon,
			"2026-01-10 12:10:00", "2026-01-10 13:00:00", "2026-01-10 13:00:00"},
		{"a delay longer than the period", delayed(every(time.Minute, time.Minute), time.Hour), noon, noon,
			"2026-01-10 13:00:00", "2026-01-10 12:01:00", "2026-01-10 13:00:00"},
		{"a cron line", cron("0 3 * * *"), "2026-01-10 03:00:00", noon,
			"2026-01-11 03:00:00", "2026-01-11 03:00:00", "2026-01-11 03:00:00"},
		{"a cron line with seconds", cron("15 0 3 * * *"), "2026-01-10 03:00:15", noon,
			"2026-01-11 03:00:15", "2026-01-11 03:00:15", "2026-01-11 03:00:15"},
		{"a cron line and a delay", delayed(cron("0 * * * *"), 30*time.Minute), noon, "2026-01-10 12:40:00",
			"2026-01-10 14:00:00", "2026-01-10 13:00:00", "2026-01-10 14:00:00"},
		{"three in the morning, after the change to summer time", cron("0 3 * * *"), "2026-03-28 03:00:00", "2026-03-28 03:00:01",
			"2026-03-29 03:00:00", "2026-03-29 03:00:00", "2026-03-29 03:00:00"},
		{"half past two does not exist on that day", cron("30 2 * * *"), "2026-03-28 02:30:00", "2026-03-28 02:30:01",
			"2026-03-30 02:30:00", "2026-03-30 02:30:00", "2026-03-30 02:30:00"},
		{"three in the morning, after the change to winter time", cron("0 3 * * *"), "2026-10-24 03:00:00", "2026-10-24 03:00:01",
			"2026-10-25 03:00:00", "2026-10-25 03:00:00", "2026-10-25 03:00:00"},
		{"by hand", manual, "", noon, "", "", ""},
		{"by hand, after a delay", delayed(manual, time.Hour), "", noon, "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range []struct {
				what      string
				got, want time.Time
			}{
				{"the first run", scheduler.First(tt.schedule, at(tt.now)), at(tt.first)},
				{"the next run", scheduler.Next(tt.schedule, at(tt.due), at(tt.now)), at(tt.next)},
				{"a registration moves it to", scheduler.Latest(tt.schedule, at(tt.now)), at(tt.latest)},
			} {
				if !c.got.Equal(c.want) {
					t.Errorf("%s: %s, want %s", c.what, c.got, c.want)
				}
			}
		})
	}
}

// TestSchedulesThatAreRefused holds what Schedule says about what would never run.
func TestSchedulesThatAreRefused(t *testing.T) {
	t.Parallel()
	s := scheduler.New(scheduler.Options{Plugin: "costs"})
	nowhere := every(time.Hour, time.Minute)
	nowhere.Scope = "planet"
	for _, tt := range []struct {
		name, id string
		schedule config.Schedule
		want     string
	}{
		{"no id", "", every(time.Hour, time.Minute), "a task needs an id"},
		{"no time to run", "work", every(time.Hour, 0), "task work: timeout: must be longer than zero"},
		{"no frequency", "work", every(0, time.Minute), "task work: frequency must be longer than zero, a cron line, or manual"},
		{"a cron line that is none", "work", cron("at noon"), `task work: frequency: cron expression "at noon" names no time that ever comes`},
		{"a day that no month has", "work", cron("0 0 30 2 *"), `task work: frequency: cron expression "0 0 30 2 *" names no time that ever comes`},
		{"an unknown scope", "work", nowhere, `task work: scope is "planet", use global or local`},
	} {
		if err := s.Schedule(tt.id, tt.schedule, never(t)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
	if s.Used() {
		t.Error("a task was scheduled")
	}
}

// bubble opens a scheduler on SQLite within a synctest bubble, where time passes at once.
func bubble(t *testing.T, zone *time.Location) *scheduler.Scheduler {
	t.Helper()
	m, err := db.New(db.Config{Client: "better-sqlite3", Connection: db.Connection{Directory: t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	locks, err := m.Locks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := scheduler.New(scheduler.Options{
		Plugin: "costs", DB: m.Plugin("costs").DB(), Log: quiet(),
		Now:   func() time.Time { return time.Now().In(zone) },
		Locks: func(context.Context) (*db.Locks, error) { return locks, nil },
	})
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		_ = locks.Close()
		_ = m.Close()
	})
	return s
}

// TestSeventyDays holds when tasks run over a long time, of either scope: with 30 days
// between them, and by a cron line over the change to summer time.
func TestSeventyDays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		berlin, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Date(2000, time.March, 1, 8, 0, 0, 0, berlin)
		time.Sleep(time.Until(begin))
		s := bubble(t, berlin)
		var mu sync.Mutex
		ran := map[string][]string{}
		for _, scope := range []string{"global", "local"} {
			for name, schedule := range map[string]config.Schedule{
				"monthly": delayed(every(30*day, time.Hour), time.Hour),
				"nightly": cron("0 3 * * 7"),
			} {
				schedule.Scope = scope
				id := scope + " " + name
				if err := s.Schedule(id, schedule, func(context.Context) error {
					mu.Lock()
					ran[id] = append(ran[id], time.Now().In(berlin).Format("01-02 15:04"))
					mu.Unlock()
					time.Sleep(10 * time.Minute)
					return nil
				}); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.Start()
		time.Sleep(70 * day)
		mu.Lock()
		defer mu.Unlock()
		for _, scope := range []string{"global", "local"} {
			for name, want := range map[string]string{
				// 720 hours each, so an hour later by the clock of the wall after March 26.
				"monthly": "03-01 09:00, 03-31 10:00, 04-30 10:00",
				"nightly": "03-05 03:00, 03-12 03:00, 03-19 03:00, 03-26 03:00, 04-02 03:00, 04-09 03:00, 04-16 03:00, 04-23 03:00, 04-30 03:00, 05-07 03:00",
			} {
				if got := strings.Join(ran[scope+" "+name], ", "); got != want {
					t.Errorf("%s task %s ran at\n%s, want\n%s", scope, name, got, want)
				}
			}
		}
	})
}
