package events_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/events"
)

const (
	childEnv = "CALLBOARD_TEST_EVENTS_CHILD" // the JSON of a child
	fullEnv  = "CALLBOARD_TEST_EVENTS_FULL"  // set to 1: 10000 events
	topics   = 4
)

// child is one process of TestKilledConsumer. It publishes Events events over the
// topics, from where it was when it was killed, and handles those of all processes.
type child struct {
	Name     string
	Database string
	Events   int
	Handled  string // the file that each handled event is added to
	Progress string // the file that each published event is added to
}

type payload struct {
	From string `json:"from"`
	Seq  int    `json:"seq"`
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		var c child
		err := json.Unmarshal([]byte(text), &c)
		if err == nil {
			err = c.run()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// run ends when the parent closes standard input.
func (c child) run() error {
	cfg, err := config.Parse("app-config.yaml", fmt.Appendf(nil,
		"backend: {baseUrl: 'http://localhost', listen: '127.0.0.1:0', database: %s}", c.Database))
	if err != nil {
		return err
	}
	b := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler))
	b.Add(events.Plugin(), backend.NewPlugin("worker", fx.Invoke(c.work)))
	if err := b.Start(context.Background()); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return b.Stop(context.Background())
}

func (c child) work(ev backend.Events, bg *backend.Background, life fx.Lifecycle) error {
	handled, err := os.OpenFile(c.Handled, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	life.Append(fx.StartHook(func() {
		bg.Go(func(ctx context.Context) {
			all := []string{"probe"}
			for i := range topics {
				all = append(all, fmt.Sprint("topic-", i))
			}
			for e, err := range ev.Subscribe(ctx, "consumer", all...) {
				if err != nil {
					continue
				}
				// One write to the end of one file: the order of lines is that of handling.
				fmt.Fprintf(handled, "%s %s %s\n", c.Name, e.Topic, e.Payload)
			}
		})
		bg.Go(c.publish(ev))
	}))
	return nil
}

// publish writes down what is published; what it was killed in the midst of is
// published again.
func (c child) publish(ev backend.Events) func(context.Context) {
	return func(ctx context.Context) {
		// What is published before there is a subscription does not come.
		for {
			if info, err := os.Stat(c.Handled); ctx.Err() != nil || err == nil && info.Size() > 0 {
				break
			}
			_ = ev.Publish(ctx, "probe", 1)
			time.Sleep(20 * time.Millisecond)
		}
		done, err := os.ReadFile(c.Progress)
		if err != nil && !os.IsNotExist(err) {
			panic(err)
		}
		progress, err := os.OpenFile(c.Progress, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			panic(err)
		}
		for n := strings.Count(string(done), "\n"); n < c.Events && ctx.Err() == nil; {
			err := ev.Publish(ctx, fmt.Sprint("topic-", n%topics), payload{c.Name, n / topics})
			if err != nil {
				continue
			}
			fmt.Fprintln(progress, n)
			n++
		}
	}
}

// start starts the process and returns how to end it.
func (c child) start(t *testing.T) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // killed ones have an error
	})
	return cmd
}

// Three processes publish and consume; again and again, the one that has events in hand
// is killed. Every event is handled at least once, and in the order of its topic.
func TestKilledConsumer(t *testing.T) {
	t.Parallel()
	total, kills := 900, 1
	if os.Getenv(fullEnv) == "1" {
		total, kills = 10000, 5
	}
	dir := t.TempDir()
	database := postgres(t)
	children := map[string]child{}
	running := map[string]*exec.Cmd{}
	for _, name := range []string{"a", "b", "c"} {
		events := total / 3
		if name == "a" {
			events += total % 3
		}
		children[name] = child{
			Name: name, Database: database, Events: events,
			Handled: filepath.Join(dir, "handled"), Progress: filepath.Join(dir, "published-"+name),
		}
		running[name] = children[name].start(t)
	}
	h := history{seen: map[string]int{}}
	for killed := 0; h.distinct < total; {
		h.read(t, filepath.Join(dir, "handled"))
		if killed < kills && h.distinct >= (killed+1)*total/(kills+2) {
			killed++
			_ = running[h.last].Process.Kill()
			_ = running[h.last].Wait()
			running[h.last] = children[h.last].start(t)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatalf("%d of %d events were handled", h.distinct, total)
		}
	}
	t.Logf("%d events handled at least once, %d of them again, %d consumers killed", h.distinct, h.again, kills)
}

// history checks the file of handled events as it grows.
type history struct {
	offset   int64
	seen     map[string]int // by topic and publisher: the next sequence number
	distinct int
	again    int
	last     string // the process that has handled the last event
}

func (h *history) read(t *testing.T, file string) {
	t.Helper()
	f, err := os.Open(file)
	if os.IsNotExist(err) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(h.offset, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewReader(f); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return // the rest of the line comes later
		}
		h.offset += int64(len(line))
		words := strings.SplitN(strings.TrimSpace(line), " ", 3)
		if words[1] == "probe" {
			continue
		}
		var p payload
		if err := json.Unmarshal([]byte(words[2]), &p); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		key := words[1] + " from " + p.From
		h.last = words[0]
		switch next := h.seen[key]; {
		case p.Seq == next:
			h.seen[key]++
			h.distinct++
		case p.Seq < next:
			h.again++
		default:
			t.Fatalf("%s: %d was handled before %d", key, p.Seq, next)
		}
	}
}
