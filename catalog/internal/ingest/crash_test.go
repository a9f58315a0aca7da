package ingest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/catalog/internal/store"
	"github.com/callboard-dev/callboard/internal/testbed/logtest"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// The environment of a process that is a replica under crash test.
const (
	crashDatabase = "CALLBOARD_CATALOG_CRASH_DATABASE" // its URL
	crashEpoch    = "CALLBOARD_CATALOG_CRASH_EPOCH"    // where the clock of all replicas begins
)

// crashPace is how much faster than real time the replicas' clock goes, so that what a
// killed one had claimed is claimed again in seconds.
const crashPace = 100

func TestMain(m *testing.M) {
	if url := os.Getenv(crashDatabase); url != "" {
		if err := crashReplica(url, os.Stdin, os.Stdout); err != nil {
			fmt.Println("failed", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// crashWorld is what the sources have in a round: files that change, entities that move
// from one to the other, and Locations that come and go.
func crashWorld(round int) (files map[string]string, sets map[string][]Deferred) {
	files, sets = map[string]string{}, map[string][]Deferred{}
	for f := range 8 {
		var docs []string
		for i := range 8 {
			text := ""
			if i < 3 {
				text = fmt.Sprint("round ", round)
			}
			docs = append(docs, yamlComponent(fmt.Sprintf("c%d-%d", f, i), text, "dependsOn: ['component:hub']"))
		}
		if (f+round)%2 == 0 { // moves between neighbours
			docs = append(docs, yamlComponent(fmt.Sprintf("moving%d", f/2), fmt.Sprint("round ", round/3)))
		}
		if f < 3 {
			// Nothing else leads there: of two that do, either may be the origin.
			deep := fmt.Sprintf("deep%d.yaml", f)
			docs = append(docs, nested(fmt.Sprintf("n%d", f), deep))
			files[fileURL(deep)] = documents(yamlComponent(fmt.Sprintf("deep%d", f), fmt.Sprint("round ", round)), yamlComponent(fmt.Sprintf("deeper%d", f), ""))
		}
		files[fileURL(fmt.Sprintf("f%d.yaml", f))] = documents(docs...)
		if (f+round)%3 != 0 {
			sets["p"] = append(sets["p"], location(fmt.Sprintf("l%d", f), fmt.Sprintf("f%d.yaml", f)))
		}
	}
	sets["q"] = []Deferred{component("hub", fmt.Sprint(round), ""), component(fmt.Sprintf("q%d", round%5), "", "k")}
	for i := range 12 {
		if (i+round)%4 != 0 {
			sets["q"] = append(sets["q"], component(fmt.Sprintf("own%d", i), fmt.Sprint("round ", round), ""))
		}
	}
	return files, sets
}

// crashDB opens the database that the replicas share.
func crashDB(url string) (db.DB, func() error, error) {
	m, err := db.New(db.Config{Client: "pg", PluginDivisionMode: "schema", Connection: db.Connection{ConnectionString: config.NewSecret(url)}})
	if err != nil {
		return nil, nil, err
	}
	p := m.Plugin("test")
	_, err = p.Migrate(context.Background(), store.Migrations())
	return p.DB(), m.Close, err
}

// crashReplica is the process: an engine that does what the lines on its input say.
//
//	round N        the sources have what round N has
//	replace P N    provider P lists its set of round N; answers "done P N" or "failed P N"
//	arm KIND K     dies at its Kth statement from now on inside a transaction of KIND,
//	               which is ingest, stitch or delete; says "dying KIND" before
func crashReplica(url string, in io.Reader, out io.Writer) error {
	shared, _, err := crashDB(url)
	if err != nil {
		return err
	}
	epoch, err := strconv.ParseInt(os.Getenv(crashEpoch), 10, 64)
	if err != nil {
		return err
	}
	now := func() time.Time {
		real := time.Since(time.UnixMicro(epoch))
		return time.UnixMicro(epoch).Add(real * crashPace)
	}
	armed := map[string]*atomic.Int64{}
	failing := func(kind string) *store.Store {
		left := new(atomic.Int64)
		armed[kind] = left
		return store.New(&spyDB{DB: shared, before: func(inTx bool) {
			if inTx && left.Load() > 0 && left.Add(-1) == 0 {
				fmt.Fprintln(out, "dying", kind)
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}})
	}
	w := newWorld(nil, shared, Options{})
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	w.stitcher.Store, w.stitcher.Log, w.stitcher.Now, w.stitcher.PollInterval = failing("stitch"), log, now, 10*time.Millisecond
	o := w.engine.Options
	o.Log, o.Now, o.PollInterval = log, now, 10*time.Millisecond
	o.Store = failing("ingest")
	w.engine = NewEngine(o)
	o.Store = failing("delete")
	deleter := NewEngine(o)
	r := startReplica(w)
	defer r.stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			_, _ = deleter.DeleteOrphans(ctx) // as the recurring task does; the next one does it if this fails
			time.Sleep(50 * time.Millisecond)
		}
	}()
	for lines := bufio.NewScanner(in); lines.Scan(); {
		word := strings.Fields(lines.Text())
		n, err := strconv.Atoi(word[len(word)-1])
		if err != nil {
			return err
		}
		switch word[0] {
		case "round":
			files, _ := crashWorld(n)
			w.mu.Lock()
			w.files = files
			w.mu.Unlock()
		case "replace":
			_, sets := crashWorld(n)
			answer := "done"
			if err := deleter.Provider(word[1]).Replace(ctx, sequence(sets[word[1]])); err != nil {
				answer = "failed"
			}
			fmt.Fprintln(out, answer, word[1], n)
		case "arm":
			armed[word[1]].Store(int64(n))
		}
	}
	return nil
}

// A crasher is one replica process, and what it said.
type crasher struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string // closed at the end of the process
	log   logtest.Buffer
}

func (c *crasher) say(format string, args ...any) { fmt.Fprintf(c.in, format+"\n", args...) }

// TestCrashes kills replicas while they ingest and delete, and compares what is served in
// the end with what one engine makes of the same sources, byte for byte apart from
// uids and etags. CALLBOARD_CATALOG_KILLS sets how many kills; of ten, five are inside a
// transaction of ingest, stitch or delete, two cut a connection, and three
// come at any time.
func TestCrashes(t *testing.T) {
	kills := 6
	if s := os.Getenv("CALLBOARD_CATALOG_KILLS"); s != "" {
		kills, _ = strconv.Atoi(s)
	} else if testing.Short() {
		t.Skip("starts processes")
	}
	t.Parallel()
	pgtest.Each(t, func(t *testing.T, s *pgtest.Server) {
		c := newCrashes(t, s.Database(t))
		for i := range kills {
			c.kill(i)
		}
		t.Logf("killed: %v", c.killed)
		if inside := c.killed["ingest"] + c.killed["stitch"] + c.killed["delete"]; inside*10 < kills*3 {
			t.Errorf("%d of %d kills were inside a transaction, want three of ten at least", inside, kills)
		}
		c.finish()
	})
}

type crashes struct {
	t        *testing.T
	url      string
	epoch    int64
	r        *rand.Rand
	control  *pgx.Conn
	replicas []*crasher
	round    int
	killed   map[string]int
}

func newCrashes(t *testing.T, url string) *crashes {
	control, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { control.Close(context.Background()) })
	c := &crashes{t: t, url: url, epoch: time.Now().UnixMicro(), r: rand.New(rand.NewPCG(1, 2)), control: control, killed: map[string]int{}}
	for range 3 {
		c.replicas = append(c.replicas, c.start())
	}
	c.next(c.replicas[0])
	return c
}

// start starts a replica, which has the sources of the current round.
func (c *crashes) start() *crasher {
	p := &crasher{cmd: exec.Command(os.Args[0]), lines: make(chan string, 100)}
	p.cmd.Env = append(os.Environ(), crashDatabase+"="+c.url, fmt.Sprintf("%s=%d", crashEpoch, c.epoch))
	p.cmd.Stderr = &p.log
	in, err := p.cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	p.in = in
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	c.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		go func() { // whatever is still said
			for range p.lines {
			}
		}()
		<-ended
		_ = p.cmd.Wait()
	})
	p.say("round %d", c.round)
	return p
}

// next moves the sources on; the replica p lists the sets of the providers.
func (c *crashes) next(p *crasher) {
	c.round++
	for _, r := range c.replicas {
		r.say("round %d", c.round)
	}
	for _, provider := range []string{"p", "q"} {
		p.say("replace %s %d", provider, c.round)
	}
}

// kill kills one replica, or cuts a connection, while the sources change.
func (c *crashes) kill(i int) {
	victim := c.r.IntN(len(c.replicas))
	p := c.replicas[victim]
	kind := []string{"ingest", "delete", "stitch", "cut", "any", "ingest", "delete", "cut", "any", "any"}[i%10]
	switch kind {
	case "cut":
		c.next(p)
		c.cut()
		c.killed[kind]++
		return
	case "any":
		c.next(p)
		time.Sleep(time.Duration(c.r.IntN(60)) * time.Millisecond)
		_ = p.cmd.Process.Kill()
	default:
		p.say("arm %s %d", kind, 1+c.r.IntN(20))
		c.next(p)
		kind = c.death(p)
	}
	c.killed[kind]++
	for range p.lines { // until the end of the process
	}
	if strings.Contains(p.log.String(), "panic") {
		c.t.Errorf("a replica panicked:\n%s", &p.log)
	}
	c.replicas[victim] = c.start()
}

// death waits until an armed replica dies; one that has nothing to do is killed.
func (c *crashes) death(p *crasher) (kind string) {
	for tries := 0; ; tries++ {
		select {
		case line, ok := <-p.lines:
			if kind, dying := strings.CutPrefix(line, "dying "); dying {
				return kind
			}
			if !ok {
				c.t.Errorf("a replica ended by itself:\n%s", &p.log)
				return "itself"
			}
		case <-time.After(300 * time.Millisecond):
			if tries > 10 {
				_ = p.cmd.Process.Kill()
				return "any"
			}
			c.next(p)
		}
	}
}

// cut ends a connection of a replica, of one in a transaction if there is any.
func (c *crashes) cut() {
	for range 200 {
		tag, err := c.control.Exec(c.t.Context(), `SELECT pg_terminate_backend(pid) FROM (
			SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'backstage_plugin_%'
			ORDER BY state IN ('active', 'idle in transaction') AND xact_start IS NOT NULL DESC, random() LIMIT 1) x`)
		if err != nil {
			c.t.Fatal(err)
		}
		if tag.RowsAffected() > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.t.Error("no replica had a connection")
}

// list has a replica list the set of the last round, until it is acknowledged.
func (c *crashes) list(p *crasher, provider string) {
	c.t.Helper()
	for failed := true; failed; {
		p.say("replace %s %d", provider, c.round)
		ended := true
		for line := range p.lines {
			if line == fmt.Sprint("done ", provider, " ", c.round) {
				return
			}
			if line == fmt.Sprint("failed ", provider, " ", c.round) {
				ended = false
				break
			}
		}
		failed = !ended
	}
	c.t.Fatalf("a replica ended by itself:\n%s", &p.log)
}

// finish lists the sets of the last round until the listing is acknowledged, waits until
// what is served is what it should be, and checks the tables. Every replica lists, so that
// none has a listing of an earlier round in front of it that would come last.
func (c *crashes) finish() {
	t := c.t
	for _, p := range c.replicas {
		for _, provider := range []string{"p", "q"} {
			c.list(p, provider)
		}
	}
	d, closeDB, err := crashDB(c.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := closeDB(); err != nil {
			t.Error(err)
		}
	}()
	files, sets := crashWorld(c.round)
	alone := newWorld(t, dbtest.Memory(t, store.Migrations()), Options{})
	alone.files = files
	for _, p := range []string{"p", "q"} {
		alone.provide(p, sets[p]...)
	}
	alone.settle()
	alone.round()
	want := alone.servedBytes()
	w := newWorld(t, d, Options{})
	deadline := time.Now().Add(2 * time.Minute)
	for {
		got := w.servedBytes()
		stitches, err := w.store.CountStitches(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		orphans, err := w.store.Orphans(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Equal(got, want) && stitches == 0 && len(orphans) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v kills the catalog serves %d entities, want %d:\n%s\nlogs:\n%s", c.killed, len(got), len(want), difference(got, want), &c.replicas[0].log)
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, p := range c.replicas {
		p.in.Close()
		for range p.lines {
		}
	}
	w.check()
	if refs, last, err := w.store.StaleFinals(t.Context(), 0, 1<<40); err != nil || len(refs) != 0 || last == 0 {
		t.Errorf("processed and not served: %v, %v", refs, err)
	}
	t.Logf("%d rounds; %d entities are served", c.round, len(want))
}

// servedBytes is what is served, byte for byte apart from uids and etags, sorted.
func (w *world) servedBytes() []string {
	w.t.Helper()
	rows, err := w.db.Query(w.t.Context(), db.Same(`SELECT uid, etag, entity FROM final_entities`))
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := db.Collect(rows, func(r db.Row, doc *string) error {
		var uid, etag string
		var entity []byte
		err := r.Scan(&uid, &etag, &entity)
		*doc = strings.NewReplacer(uid, "UID", etag, "ETAG").Replace(string(entity))
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func difference(got, want []string) string {
	var out []string
	for _, doc := range got {
		if !slices.Contains(want, doc) {
			out = append(out, "+ "+doc)
		}
	}
	for _, doc := range want {
		if !slices.Contains(got, doc) {
			out = append(out, "- "+doc)
		}
	}
	return strings.Join(out[:min(20, len(out))], "\n")
}
