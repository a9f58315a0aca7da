// Package notificationstest holds the rules that every processor of notifications keeps, as
// a test suite.
package notificationstest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/notifications"
	"github.com/callboard-dev/callboard/backend/notifications/client"
)

// A Target is a processor and the place that it sends to.
type Target struct {
	Processor notifications.NotificationProcessor
	// Known is a user whom the processor reaches, and Unknown one whom it does not.
	Known, Unknown string
	// Received returns what has arrived, in no order.
	Received func() []Message
	// Break makes the place refuse what comes, as a server that is down does; Mend ends that.
	// Both are nil for processors that cannot fail.
	Break, Mend func()
}

// A Message is what has arrived of one notification, decoded.
type Message struct {
	// Head is what is not shown: the headers of an e-mail.
	Head string
	// Text is what the reader's program shows as it is.
	Text string
	// Markup is what the reader's program interprets: HTML, or the markup of a chat.
	Markup string
}

// wait bounds what the suite waits for. It only passes when a rule is broken.
const wait = 30 * time.Second

// RunProcessor holds a processor against what the documentation of NotificationProcessor and
// PostProcessor says. open makes a Target for each rule.
func RunProcessor(t *testing.T, open func(t *testing.T) Target) {
	t.Helper()
	run := func(name string, rule func(t *testing.T, to Target, post notifications.PostProcessor)) {
		t.Run(name, func(t *testing.T) {
			to := open(t)
			post, ok := to.Processor.(notifications.PostProcessor)
			if !ok {
				t.Fatalf("%T is no PostProcessor", to.Processor)
			}
			rule(t, to, post)
		})
	}
	run("HasAStableNameOfItsOwn", func(t *testing.T, to Target, _ notifications.PostProcessor) {
		name := to.Processor.Name()
		if name == "" || name == client.Web || name != open(t).Processor.Name() {
			t.Errorf("the name is %q", name)
		}
	})
	run("SendsWhatItIsGiven", func(t *testing.T, to Target, post notifications.PostProcessor) {
		before := len(to.Received())
		if err := post.PostProcess(t.Context(), delivery(to.Known, "A title of its own", "1")); err != nil {
			t.Fatal(err)
		}
		received(t, to, before+1, "A title of its own")
	})
	run("LeavesItsInputAlone", func(t *testing.T, to Target, post notifications.PostProcessor) {
		d := delivery(to.Known, "title", "1")
		d.Notification.Payload.Metadata = map[string]any{"a": []any{"b"}}
		before, _ := json.Marshal(d)
		if err := post.PostProcess(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if after, _ := json.Marshal(d); string(after) != string(before) {
			t.Errorf("%s became %s", before, after)
		}
	})
	run("DoesNotFailForUsersWhomItDoesNotReach", func(t *testing.T, to Target, post notifications.PostProcessor) {
		before := len(to.Received())
		if err := post.PostProcess(t.Context(), delivery(to.Unknown, "title", "1")); err != nil {
			t.Errorf("it would be called again, to no avail: %v", err)
		}
		if n := len(to.Received()); n != before {
			t.Errorf("%d messages arrived", n-before)
		}
	})
	run("SendsEverythingOfManyAtOnce", func(t *testing.T, to Target, post notifications.PostProcessor) {
		const n = 12
		before := len(to.Received())
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				if err := post.PostProcess(t.Context(), delivery(to.Known, fmt.Sprintf("number %d;", i), fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		received(t, to, before+n, "number 0;", fmt.Sprintf("number %d;", n-1))
	})
	run("TextsAreTextsAndNotMarkup", func(t *testing.T, to Target, post notifications.PostProcessor) {
		d := delivery(to.Known, "<script>alert(1)</script> <!channel> \r\nBcc: evil@example.com", "1")
		d.Notification.Payload.Description = `<img src=x onerror=alert(1)> <!everyone>`
		before := len(to.Received())
		if err := post.PostProcess(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		for _, m := range received(t, to, before+1) {
			if strings.Contains(m.Head, "\nBcc:") {
				t.Errorf("the title has added a header:\n%s", m.Head)
			}
			for _, markup := range []string{"<script", "<img", "<!channel", "<!everyone"} {
				if strings.Contains(m.Markup, markup) {
					t.Errorf("%s is interpreted:\n%s", markup, m.Markup)
				}
			}
		}
	})
	run("EndsWithItsContext", func(t *testing.T, to Target, post notifications.PostProcessor) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		done := make(chan error, 1)
		go func() { done <- post.PostProcess(ctx, delivery(to.Known, "title", "1")) }()
		select {
		case err := <-done:
			if err == nil && len(to.Received()) == 0 {
				t.Error("nothing was sent, and there is no error: it would not be called again")
			}
		case <-time.After(wait):
			t.Error("it goes on although its context has ended")
		}
	})
	run("FailsWhileNothingArrivesAndWorksAgain", func(t *testing.T, to Target, post notifications.PostProcessor) {
		if to.Break == nil {
			t.Skip("the place of this processor does not fail")
		}
		before := len(to.Received())
		to.Break()
		if err := post.PostProcess(t.Context(), delivery(to.Known, "first", "1")); err == nil {
			t.Error("there is no error: it would not be called again")
		}
		to.Mend()
		if err := post.PostProcess(t.Context(), delivery(to.Known, "second", "2")); err != nil {
			t.Errorf("after the place works again: %v", err)
		}
		received(t, to, before+1, "second")
	})
}

func delivery(user, title, id string) notifications.Delivery {
	return notifications.Delivery{Named: true, Notification: client.Notification{
		ID: "00000000-0000-4000-8000-00000000000" + id, User: user, Origin: "plugin:test", Created: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
		Payload: client.Payload{Title: title, Severity: client.Normal, Link: "/catalog", Topic: "tests"},
	}}
}

// received waits until n messages have arrived, which contain some texts.
func received(t *testing.T, to Target, n int, texts ...string) []Message {
	t.Helper()
	for deadline := time.Now().Add(wait); ; time.Sleep(10 * time.Millisecond) {
		got := to.Received()
		if len(got) >= n {
			if len(got) > n {
				t.Errorf("%d messages arrived, want %d", len(got), n)
			}
			for _, text := range texts {
				if !slices.ContainsFunc(got, func(m Message) bool { return strings.Contains(m.Text+m.Markup, text) }) {
					t.Errorf("%q is in none of %+v", text, got)
				}
			}
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d messages arrived, want %d", len(got), n)
		}
	}
}
