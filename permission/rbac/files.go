package rbac

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
	"github.com/callboard-dev/callboard/permission/rbac/internal/policyfile"
)

// files keeps the stored state in step with the two files.
type files struct {
	config  Config
	live    *live
	auditor backend.Auditor
	log     *slog.Logger
	now     func() time.Time
	every   time.Duration // how often watch looks
	// check holds conditions against the rules of their plugins; nil holds them against
	// nothing. It is asked on reloads only: before the start plugins do not know all
	// their rules.
	check func(context.Context, engine.Condition) error

	// have is what has been taken over, or refused, last. It belongs to whoever calls
	// load: the start hook, and then the goroutine of watch.
	have [2]content
	// csv and conditions are what has been taken over last: a reload of one file is
	// reconciled together with the other one.
	csv        *policyfile.Policy
	conditions []engine.Condition
	// known is set once a file of conditions has been read: before that, what is stored
	// of it must stay.
	known bool
}

// content is a file as it was seen: which file it was, and what was in it.
type content struct {
	info fs.FileInfo
	sum  [sha256.Size]byte
}

const (
	watchEvery = 500 * time.Millisecond
	// hashEvery is for changes that keep the time and size of the file.
	hashEvery = 60 * time.Second
)

func (f *files) paths() [2]string {
	return [2]string{f.config.PoliciesCSVFile, f.config.ConditionalPoliciesFile}
}

// start takes over the configuration and both files. Lines of the CSV file that are wrong
// are left out with a warning; a file that cannot be read or has no line that is right,
// and conditions with a mistake, leave what is stored of them as it is.
func (f *files) start(ctx context.Context) error {
	csv, csvErr := f.readCSV()
	if csvErr == nil {
		f.csv = csv
		if csv != nil {
			for _, p := range csv.Problems {
				f.log.WarnContext(ctx, "a line of the policy file is left out: "+p.At(f.config.PoliciesCSVFile))
			}
		}
	} else {
		f.failed(ctx, f.config.PoliciesCSVFile, csvErr)
	}
	list, condErr := f.readConditions(nil)
	if condErr == nil {
		f.conditions, f.known = list, true
	} else {
		f.failed(ctx, f.config.ConditionalPoliciesFile, condErr)
	}
	return f.apply(ctx, csvErr == nil, condErr == nil)
}

// apply stores what the files said last, in one transaction.
func (f *files) apply(ctx context.Context, csv, conditions bool) error {
	var warnings []string
	_, err := f.live.change(ctx, func(s *engine.State) error {
		warnings = nil
		f.config.reconcileConfiguration(s, f.now())
		if csv {
			warnings = append(warnings, f.config.reconcileCSV(s, f.csv, f.now())...)
		}
		if conditions {
			warnings = append(warnings, f.config.reconcileConditions(s, engine.SourceCSV, f.conditions)...)
		}
		_, err := engine.Casbin(s)
		return err
	})
	if err != nil {
		return fmt.Errorf("store the roles of the configuration and of the files: %w", err)
	}
	for _, w := range warnings {
		f.log.WarnContext(ctx, w)
	}
	return nil
}

func (f *files) failed(ctx context.Context, path string, err error) {
	id, text := "permissions-read", "the policy file is not taken over; what was taken over before stays in force"
	if path == f.config.ConditionalPoliciesFile {
		id = "conditional-policies-file-change"
		if errors.Is(err, fs.ErrNotExist) {
			id = "conditional-policies-file-not-found"
		}
		text = "the file of conditional policies is not taken over; what was taken over before stays in force"
	}
	f.log.ErrorContext(ctx, text, "file", path, "error", err)
	f.auditor.CreateEvent(ctx, backend.AuditEvent{ID: id, Severity: backend.AuditMedium, Meta: map[string]any{
		"source": engine.SourceCSV, "actionType": "reconcile_abort", "file": path,
	}}).Fail(err, nil)
}

// readCSV returns nil for a file that is not configured.
func (f *files) readCSV() (*policyfile.Policy, error) {
	text, err := f.read(0)
	if text == nil || err != nil {
		return nil, err
	}
	p := policyfile.ParseCSV(string(text))
	if err := p.Void(); err != nil {
		return nil, fmt.Errorf("%s:%w", f.config.PoliciesCSVFile, err)
	}
	return p, nil
}

func (f *files) readConditions(check func(engine.Condition) error) ([]engine.Condition, error) {
	text, err := f.read(1)
	if text == nil || err != nil {
		return nil, err
	}
	list, err := policyfile.ParseConditions(text, f.config.limits(), check)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", f.config.ConditionalPoliciesFile, err)
	}
	return list, nil
}

// read returns the content of a file that is configured, never nil then. A file that
// changes while it is read is read again: half of one and half of another is neither.
func (f *files) read(which int) ([]byte, error) {
	path := f.paths()[which]
	if path == "" {
		return nil, nil
	}
	for tries := 0; ; tries++ {
		before, err := os.Stat(path)
		if err != nil {
			f.have[which] = content{}
			return nil, err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			f.have[which] = content{}
			return nil, err
		}
		after, err := os.Stat(path)
		if err == nil && same(before, after) && int64(len(text)) == after.Size() {
			f.have[which] = content{after, sha256.Sum256(text)}
			return append([]byte{}, text...), nil
		}
		if tries == 10 {
			return nil, fmt.Errorf("%s changes all the time", path)
		}
	}
}

// same follows symbolic links, so that swapping one is a change.
func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// watch reloads files that have changed, until ctx ends. It looks at what the path leads
// to, so that it does not matter whether a file is rewritten, replaced, or swapped
// by a symbolic link above it, as Kubernetes does with mounted ConfigMaps.
func (f *files) watch(ctx context.Context) {
	var seen [2]fs.FileInfo
	hashed := f.now()
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		hash := f.now().Sub(hashed) >= hashEvery
		if hash {
			hashed = f.now()
		}
		var changed [2]bool
		for i, path := range f.paths() {
			changed[i] = path != "" && f.changed(i, path, &seen[i], hash)
		}
		if changed[0] || changed[1] {
			f.reload(ctx, changed[0], changed[1])
		}
	}
}

// changed says whether a file is another one than was read last, and has been so for one
// round: whoever writes it may not be done.
func (f *files) changed(which int, path string, seen *fs.FileInfo, hash bool) bool {
	now, err := os.Stat(path)
	if err != nil {
		return false // it is about to be replaced, or gone: what it said stays
	}
	have := f.have[which]
	if have.info != nil && same(have.info, now) {
		*seen = nil
		if !hash {
			return false
		}
		text, err := os.ReadFile(path)
		return err == nil && sha256.Sum256(text) != have.sum
	}
	settled := *seen != nil && same(*seen, now)
	*seen = now
	return settled
}

// reload takes over what has changed, whole or not at all. Here a line that is wrong
// keeps the file from being taken over: it may be one that is not written to its end.
func (f *files) reload(ctx context.Context, csv, conditions bool) {
	was, wasConditions := f.csv, f.conditions
	if csv {
		p, err := f.readCSV()
		if err == nil {
			err = broken(p, f.config.PoliciesCSVFile)
		}
		if err != nil {
			f.failed(ctx, f.config.PoliciesCSVFile, err)
			csv = false
		} else {
			f.csv = p
		}
	}
	if conditions {
		list, err := f.readConditions(func(c engine.Condition) error {
			if f.check == nil {
				return nil
			}
			return f.check(ctx, c)
		})
		if err != nil {
			f.failed(ctx, f.config.ConditionalPoliciesFile, err)
			conditions = false
		} else {
			f.conditions, f.known = list, true
		}
	}
	if !csv && !conditions {
		return
	}
	// New roles may be what conditions had been waiting for.
	if err := f.apply(ctx, csv, f.known); err != nil {
		f.csv, f.conditions = was, wasConditions
		f.have = [2]content{} // it is tried again
		f.log.ErrorContext(ctx, "a changed policy file cannot be stored; it is tried again", "error", err)
		return
	}
	f.log.InfoContext(ctx, "policy files have changed", "version", f.live.state().Version)
	if conditions {
		f.auditor.CreateEvent(ctx, backend.AuditEvent{ID: "conditional-policies-file-change", Severity: backend.AuditMedium, Meta: map[string]any{
			"source": engine.SourceCSV, "actionType": "create_or_update", "file": f.config.ConditionalPoliciesFile,
		}}).Success(nil)
	}
}

// maxReported is how many wrong lines one error names.
const maxReported = 10

// broken is the error of a file with lines that are wrong; repeated ones are only left out.
func broken(p *policyfile.Policy, file string) error {
	var list []string
	for _, one := range p.Problems {
		if !one.Duplicate {
			list = append(list, one.At(file))
		}
	}
	if list == nil {
		return nil
	}
	if more := len(list) - maxReported; more > 0 {
		list = append(list[:maxReported], fmt.Sprintf("and %d lines more", more))
	}
	return errors.New(strings.Join(list, "; "))
}
