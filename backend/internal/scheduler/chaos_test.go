package scheduler_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/internal/scheduler"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

const (
	// asReplica names the database for which the test binary runs as a replica.
	asReplica = "CALLBOARD_TEST_SCHEDULER_REPLICA"
	// longRuns is how long each run of a replica takes at most; 50ms if it is not set.
	longRuns = "CALLBOARD_TEST_SCHEDULER_RUNS"
	// longChaos makes TestChaos go on for that duration, and the tests of this file hold
	// the bounds of time, which a busy machine may not keep.
	longChaos = "CALLBOARD_TEST_SCHEDULER_CHAOS"

	chaosTasks   = 20
	chaosPeriod  = 500 * time.Millisecond
	chaosTimeout = 2 * time.Second
)

func TestMain(m *testing.M) {
	if url := os.Getenv(asReplica); url != "" {
		runReplica(url)
		return
	}
	os.Exit(m.Run())
}

func chaosConfig(url string) db.Config {
	return db.Config{Client: "pg", PluginDivisionMode: "schema", Connection: db.Connection{ConnectionString: config.NewSecret(url)}}
}

var (
	createRuns = db.Same(`CREATE TABLE IF NOT EXISTS runs (run text PRIMARY KEY, task text NOT NULL, pid int NOT NULL, started timestamptz NOT NULL, ended timestamptz)`)
	startRun   = db.Same(`INSERT INTO runs (run, task, pid, started) VALUES ($1, $2, $3, clock_timestamp())`)
	endRun     = db.Same(`UPDATE runs SET ended = clock_timestamp() WHERE run = $1`)
)

// runReplica is a process that runs twenty tasks until it is killed. Each run writes when
// it starts and when it ends, both under its ticket, and says in the process's output what
// became of it.
func runReplica(url string) {
	m, err := db.New(chaosConfig(url))
	if err != nil {
		panic(err)
	}
	atMost := 50 * time.Millisecond
	if text := os.Getenv(longRuns); text != "" {
		if atMost, err = time.ParseDuration(text); err != nil {
			panic(err)
		}
	}
	d := m.Plugin("costs").DB()
	var mu sync.Mutex
	var session *db.Locks
	s := scheduler.New(scheduler.Options{
		Plugin: "costs", DB: d, Log: quiet(),
		Locks: func(ctx context.Context) (*db.Locks, error) {
			mu.Lock()
			defer mu.Unlock()
			if session == nil || session.Check(ctx) != nil {
				if session, err = m.Locks(ctx); err != nil {
					session = nil
					return nil, err
				}
			}
			return session, nil
		},
	})
	for i := range chaosTasks {
		id := fmt.Sprintf("task-%02d", i)
		err := s.Schedule(id, every(chaosPeriod, chaosTimeout), func(ctx context.Context) error {
			run := uuid.NewString()
			write := func(q db.SQL, args ...any) error {
				// Not even the end of its context keeps it from trying.
				return d.Tx(context.WithoutCancel(ctx), func(c db.Conn) error {
					if err := scheduler.Check(context.WithoutCancel(ctx), c); err != nil {
						return err
					}
					_, err := c.Exec(context.WithoutCancel(ctx), q, args...)
					return err
				})
			}
			if err := write(startRun, run, id, os.Getpid()); err != nil {
				return err
			}
			time.Sleep(rand.N(atMost/2) + atMost/2)
			err := write(endRun, run)
			fmt.Println(run, err)
			return err
		})
		if err != nil {
			panic(err)
		}
	}
	s.Start()
	select {}
}

func strict() bool { return os.Getenv(longChaos) != "" }

func launchReplica(t *testing.T, url string, out io.Writer, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), asReplica+"="+url), env...)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Error(err)
	}
	return cmd
}

func stop(cmd *exec.Cmd) { _ = cmd.Process.Kill(); _ = cmd.Wait() }

// chaosDatabase returns the URL of a database and what is in its table of runs.
func chaosDatabase(t *testing.T) (string, db.DB) {
	t.Helper()
	url := pgtest.New(t)
	m, err := db.New(chaosConfig(url))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	d := m.Plugin("costs").DB()
	if _, err := d.Exec(t.Context(), createRuns); err != nil {
		t.Fatal(err)
	}
	return url, d
}

// TestChaos kills, pauses and resumes three replicas at random, of which one at least is
// up at any time, and then holds that no task had two writers at once, and that every due
// run happened: no task waited longer than a run that was given up costs.
func TestChaos(t *testing.T) {
	t.Parallel()
	length := 8 * time.Second
	if s := os.Getenv(longChaos); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	url, d := chaosDatabase(t)
	launch := func() *exec.Cmd { return launchReplica(t, url, nil) }
	replicas := []*exec.Cmd{launch(), launch(), launch()}
	t.Cleanup(func() {
		for _, r := range replicas {
			stop(r)
		}
	})
	var kills, pauses atomic.Int64
	var nemeses sync.WaitGroup
	down := make(chan struct{}, len(replicas)-1)
	for i := range replicas {
		nemeses.Go(func() {
			for begun := time.Now(); time.Since(begun) < length; {
				time.Sleep(rand.N(500 * time.Millisecond))
				down <- struct{}{}
				if rand.N(2) == 0 {
					stop(replicas[i])
					replicas[i] = launch()
					kills.Add(1)
					time.Sleep(200 * time.Millisecond) // until it is up
				} else {
					_ = replicas[i].Process.Signal(syscall.SIGSTOP)
					time.Sleep(rand.N(3 * chaosTimeout))
					_ = replicas[i].Process.Signal(syscall.SIGCONT)
					pauses.Add(1)
				}
				<-down
			}
		})
	}
	nemeses.Wait()
	time.Sleep(chaosTimeout)
	for _, r := range replicas {
		stop(r)
	}
	rows, err := d.Query(t.Context(), db.Same(`SELECT task, started, ended FROM runs ORDER BY task, started`))
	if err != nil {
		t.Fatal(err)
	}
	type run struct {
		task           string
		started, ended db.Time
	}
	runs, err := db.Collect(rows, func(r db.Row, out *run) error { return r.Scan(&out.task, &out.started, &out.ended) })
	if err != nil {
		t.Fatal(err)
	}
	counts, unfinished, longest := map[string]int{}, 0, time.Duration(0)
	for i, r := range runs {
		counts[r.task]++
		if r.ended.IsZero() {
			unfinished++
		}
		if i == 0 || runs[i-1].task != r.task {
			continue
		}
		before := runs[i-1]
		if !before.ended.IsZero() && before.ended.After(r.started.Time) {
			t.Errorf("%s: a run that began at %s wrote at %s, after the next one had begun at %s", r.task, before.started, before.ended, r.started)
		}
		longest = max(longest, r.started.Sub(before.started.Time))
	}
	if len(counts) != chaosTasks {
		t.Errorf("%d tasks ran, want %d", len(counts), chaosTasks)
	}
	// A run that was given up costs its timeout, and what the server waits for a paused
	// transaction; then somebody looks within a period.
	if bound := chaosTimeout + 5*time.Second + chaosPeriod + 2*time.Second; longest > bound && strict() {
		t.Errorf("a task did not run for %s, want at most %s", longest, bound)
	}
	for task, n := range counts {
		if most := int(length / (chaosTimeout + 5*time.Second + chaosPeriod)); n < most {
			t.Errorf("%s ran %d times, want at least %d", task, n, most)
		}
	}
	t.Logf("%d runs of %d tasks over %s with %d kills and %d pauses; %d runs were given up, the longest pause of a task was %s",
		len(runs), len(counts), length, kills.Load(), pauses.Load(), unfinished, longest)
}
