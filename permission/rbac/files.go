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
	settle  time.Duration // how long a file that is written in place and has lost something must stay as it is
	// readFile is os.ReadFile; tests have the file change meanwhile.
	readFile func(string) ([]byte, error)
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

func newFiles(c Config, l *live, auditor backend.Auditor, log *slog.Logger) *files {
	return &files{config: c, live: l, auditor: auditor, log: log, now: time.Now, every: watchEvery, settle: settleAfter, readFile: os.ReadFile}
}

func (f *files) paths() [2]string {
	return [2]string{f.config.PoliciesCSVFile, f.config.ConditionalPoliciesFile}
}

// start takes over what Backstage's RBAC plugin has stored, the configuration and both
// files. Lines of the CSV file that are wrong
// are left out with a warning; a file that cannot be read or has no line that is right,
// and conditions with a mistake, leave what is stored of them as it is.
func (f *files) start(ctx context.Context) error {
	if err := f.adopt(ctx); err != nil {
		return err
	}
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
		text, err := f.readFile(path)
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
