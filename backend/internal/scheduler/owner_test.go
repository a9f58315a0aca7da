package scheduler_test

import (
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/internal/scheduler"
	"github.com/callboard-dev/callboard/internal/testbed/logtest"
)

var (
	// A run that is under way, of which at least half of its time is left.
	selectOwner = db.Same(`SELECT run, task, pid FROM runs WHERE ended IS NULL
		AND started > clock_timestamp() - interval '200 milliseconds' ORDER BY started DESC LIMIT 1`)
	// Runs of the task that ended elsewhere, and when the first of them began.
	selectElsewhere = db.Same(`SELECT count(*), min(started) FROM runs WHERE task = $1 AND pid <> $2 AND ended IS NOT NULL
		AND started > (SELECT started FROM runs WHERE run = $3)`)
	selectEnded = db.Same(`SELECT count(*) FROM runs WHERE run = $1 AND ended IS NOT NULL`)
	selectNow   = db.Same(`SELECT clock_timestamp()`)
)

// An owner is a process in the middle of a run.
type owner struct {
	*exec.Cmd
	run, task string
	pid       int
	out       *logtest.Buffer
}

// startOwner starts two replicas whose runs take most of a second, and returns one of them
// while it runs a task.
func startOwner(t *testing.T) (owner, db.DB) {
	t.Helper()
	url, d := chaosDatabase(t)
	var replicas []owner
	for range 2 {
		out := &logtest.Buffer{}
		cmd := launchReplica(t, url, out, longRuns+"=1s")
		t.Cleanup(func() { stop(cmd) })
		replicas = append(replicas, owner{Cmd: cmd, out: out})
	}
	var found owner
	eventually(t, "a run", func() bool {
		err := d.QueryRow(t.Context(), selectOwner).Scan(&found.run, &found.task, &found.pid)
		if err != nil && !errors.Is(err, db.ErrNoRows) {
			t.Fatal(err)
		}
		return err == nil
	})
	o := replicas[0]
	if o.Process.Pid != found.pid {
		o = replicas[1]
	}
	o.run, o.task, o.pid = found.run, found.task, found.pid
	return o, d
}

// elsewhere waits until the task has run on the other replica, and returns when that began.
func (o owner) elsewhere(t *testing.T, d db.DB) time.Time {
	t.Helper()
	var began db.Time
	eventually(t, "a run on the other replica", func() bool {
		var n int
		if err := d.QueryRow(t.Context(), selectElsewhere, o.task, o.pid, o.run).Scan(&n, &began); err != nil {
			t.Fatal(err)
		}
		return n > 0
	})
	return began.Time
}

func (o owner) ended(t *testing.T, d db.DB) bool {
	t.Helper()
	var n int
	if err := d.QueryRow(t.Context(), selectEnded, o.run).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n > 0
}

func now(t *testing.T, d db.DB) time.Time {
	t.Helper()
	var at db.Time
	if err := d.QueryRow(t.Context(), selectNow).Scan(&at); err != nil {
		t.Fatal(err)
	}
	return at.Time
}

// TestKilledOwner holds that the task of a process that is killed in the middle of a run
// runs elsewhere, long before the time of the run is over: within a period and two seconds.
func TestKilledOwner(t *testing.T) {
	t.Parallel()
	o, d := startOwner(t)
	killed := now(t, d)
	stop(o.Cmd)
	took := o.elsewhere(t, d).Sub(killed)
	if o.ended(t, d) {
		t.Fatal("the run had ended before its process was killed")
	}
	if took > chaosPeriod+2*time.Second && strict() {
		t.Errorf("the task of a killed process ran elsewhere after %s", took)
	}
	t.Logf("elsewhere after %s; the period is %s, the timeout %s", took.Round(time.Millisecond), chaosPeriod, chaosTimeout)
}

// TestPausedOwner holds that the task of a process that is paused for three times its
// timeout runs elsewhere meanwhile, and that the old run, which goes on, writes nothing.
func TestPausedOwner(t *testing.T) {
	t.Parallel()
	o, d := startOwner(t)
	paused := now(t, d)
	if err := o.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	took := o.elsewhere(t, d).Sub(paused)
	time.Sleep(3*chaosTimeout - now(t, d).Sub(paused))
	if err := o.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	var outcome string
	eventually(t, "the outcome of the old run", func() bool {
		for _, line := range lines(o.out) {
			if run, what, _ := strings.Cut(line, " "); run == o.run {
				outcome = what
			}
		}
		return outcome != ""
	})
	if want := "task " + o.task + ": " + scheduler.ErrFenced.Error(); outcome != want || o.ended(t, d) {
		t.Errorf("the old run ended with %q, want %q", outcome, want)
	}
	t.Logf("elsewhere %s after the pause began; the old run: %s", took.Round(time.Millisecond), outcome)
}
