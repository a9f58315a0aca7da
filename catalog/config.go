package catalog

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/ingest"
)

// Config is the subtree catalog, as far as the plugin itself reads it; providers have
// sections of their own below catalog.providers (contract catalog.md, 3.9).
type Config struct {
	Rules     *[]ruleConfig    `config:"rules" doc:"which kinds of entities may come from which locations; without it Component, API and Location from all"`
	Locations []locationConfig `config:"locations" doc:"locations that are always part of the catalog"`

	ReadOnly                        bool   `config:"readonly" doc:"refuses to register, change and delete locations; dry runs go on"`
	DefaultLocationConflictStrategy string `config:"defaultLocationConflictStrategy" oneof:"reject|refresh" doc:"what registering a location again does, unless the request says it"`

	OrphanStrategy         string   `config:"orphanStrategy" oneof:"delete|keep" doc:"what happens to entities that nothing emits any more"`
	OrphanProviderStrategy string   `config:"orphanProviderStrategy" oneof:"delete|keep" doc:"what happens to entities of providers that are no longer installed"`
	ProcessingInterval     interval `config:"processingInterval" doc:"how often entities are processed, between once and one and a half times the value; false: not in this process"`

	StitchingStrategy struct {
		PollingInterval config.Duration `config:"pollingInterval" doc:"how long work of other replicas may go unnoticed"`
		StitchTimeout   config.Duration `config:"stitchTimeout" doc:"after which an interrupted stitch is taken up again"`
		Mode            string          `config:"mode" deprecated:"there is one mode only; remove the key" doc:"has no effect"`
	} `config:"stitchingStrategy"`

	DisableDefaultProcessors bool                       `config:"disableDefaultProcessors" doc:"leaves out the processors that read files and URLs and annotate entities"`
	ProcessorOptions         map[string]processorConfig `config:"processorOptions" doc:"settings by name of processor"`
	ProviderOptions          map[string]providerConfig  `config:"providerOptions" doc:"settings by name of provider"`

	SCMEvents scmConfig `config:"scmEvents" doc:"what events of source code hosts may do: true is all, false nothing"`

	MassDeletionGuard guardConfig  `config:"massDeletionGuard" doc:"holds back listings that would remove an unusual share of a provider's entities; false: never"`
	Limits            limitsConfig `config:"limits"`
	Processors        movedConfig  `config:"processors" doc:"settings of processors of other packages"`
}

func defaultConfig() Config {
	return Config{
		DefaultLocationConflictStrategy: "reject",

		OrphanStrategy:         "delete",
		OrphanProviderStrategy: "delete",
		MassDeletionGuard:      guardConfig{Share: 0.3, Minimum: 20},
	}
}

type ruleConfig struct {
	Allow     []allowConfig          `config:"allow" doc:"kinds, or objects of a kind and a spec.type"`
	Locations *[]locationMatchConfig `config:"locations" doc:"the locations that the rule is about; without it all"`
}

// allowConfig is a kind, or an object of kind and spec.type.
type allowConfig struct{ Kind, SpecType string }

func (a *allowConfig) UnmarshalConfig(c *config.Config) error {
	switch v := c.Value("").(type) {
	case string:
		a.Kind = v
		return nil
	case map[string]any:
		for key, value := range v {
			text, ok := value.(string)
			switch {
			case key != "kind" && key != "spec.type":
				return fmt.Errorf("unknown key %q, use kind and 'spec.type'", key)
			case !ok:
				return fmt.Errorf("%s: expected a string, got %v", key, value)
			case key == "kind":
				a.Kind = text
			default:
				a.SpecType = text
			}
		}
		if a.Kind == "" {
			return errors.New("kind is missing")
		}
		return nil
	default:
		return fmt.Errorf("expected a kind, or an object with kind and 'spec.type', got %v", v)
	}
}

type locationMatchConfig struct {
	Type    string `config:"type,required" doc:"the type of location"`
	Exact   string `config:"exact" doc:"the target to the letter"`
	Pattern string `config:"pattern" doc:"a glob for the target: * stays within a path segment, ** does not"`
}

type locationConfig struct {
	Type   string `config:"type,required" doc:"url or file, or a type that a processor reads"`
	Target string `config:"target,required" doc:"a URL; for files a path or glob, relative to the working directory"`
	Rules  []struct {
		Allow []string `config:"allow,required" doc:"kinds that this location may emit besides those that catalog.rules allows"`
	} `config:"rules"`
}

// processorTypes are location types of processors that are gone; what they did is
// done by providers.
func processorTypes() []string {
	return []string{"github-discovery", "github-org", "gitlab-discovery", "bitbucket-discovery",
		"azure-discovery", "s3-discovery", "aws-cloud-accounts", "ldap-org", "microsoft-graph-org"}
}

// SkipMissingProcessors is the environment variable that accepts locations whose
// processor is not there.
const SkipMissingProcessors = "BACKSTAGE_CATALOG_SKIP_MISSING_PROCESSORS_CHECK"

func (l *locationConfig) Validate() error {
	if _, err := entity.ParseLocation(l.Type + ":" + l.Target); err != nil {
		return err
	}
	return nil
}

type processorConfig struct {
	Disabled bool `config:"disabled" doc:"leaves the processor out"`
	Priority *int `config:"priority" doc:"its place among processors: lower goes first, 20 is usual"`
}

type providerConfig struct {
	Disabled bool `config:"disabled" doc:"leaves the provider out, as if it were not installed"`
}

// interval is a duration or false.
type interval struct {
	Every config.Duration
	Off   bool
}

func (i *interval) UnmarshalConfig(c *config.Config) error {
	if off, ok := c.Value("").(bool); ok {
		if off {
			return errors.New("expected a duration or false, got true")
		}
		i.Off = true
		return nil
	}
	every, _, err := c.Duration("")
	if err == nil && every.Std() < time.Second {
		err = fmt.Errorf("expected at least one second, got %s", every)
	}
	i.Every = every
	return err
}

// bounds are the least and the longest time between two runs of an entity.
func (i interval) bounds() (least, most time.Duration) {
	if i.Every == 0 {
		return 100 * time.Second, 150 * time.Second
	}
	return i.Every.Std(), i.Every.Std() * 3 / 2
}

// scmConfig is a bool, or an object whose members are true unless they are set.
type scmConfig struct {
	Refresh    bool `config:"refresh" doc:"process entities again whose file or repository was updated"`
	Unregister bool `config:"unregister" doc:"delete registered locations whose file or repository was deleted"`
	Move       bool `config:"move" doc:"let registered locations follow a file or repository that was moved"`
}

func (s *scmConfig) UnmarshalConfig(c *config.Config) error {
	if on, ok := c.Value("").(bool); ok {
		*s = scmConfig{on, on, on}
		return nil
	}
	type plain scmConfig
	*s = scmConfig{true, true, true}
	return c.Decode("", (*plain)(s))
}

// guardConfig is an object, or false.
type guardConfig struct {
	Share   float64 `config:"share" doc:"the part of the entities above which a removal is held back"`
	Minimum int     `config:"minimum" doc:"the number of entities below which it never is"`
}

func (g *guardConfig) UnmarshalConfig(c *config.Config) error {
	if on, ok := c.Value("").(bool); ok {
		if on {
			return errors.New("expected an object with share and minimum, or false, got true")
		}
		*g = guardConfig{}
		return nil
	}
	type plain guardConfig
	return c.Decode("", (*plain)(g))
}

func (g *guardConfig) Validate() error {
	if g.Share < 0 || g.Share > 1 {
		return config.At("share", fmt.Errorf("expected a number from 0 to 1, got %v", g.Share))
	}
	return nil
}

type limitsConfig struct {
	FileBytes           int `config:"fileBytes" doc:"size of a descriptor file; 10 MiB unless set"`
	DocumentsPerFile    int `config:"documentsPerFile" doc:"entities of a file; 10,000 unless set"`
	Depth               int `config:"depth" doc:"nesting of objects and lists; 100 unless set"`
	ValuesPerDocument   int `config:"valuesPerDocument" doc:"values of one document, with YAML aliases expanded; 250,000 unless set"`
	EntitiesPerLocation int `config:"entitiesPerLocation" doc:"entities that one Location leads to, or another entity emits; 100,000 unless set"`
	EntitiesPerDryRun   int `config:"entitiesPerDryRun" doc:"entities that the dry run of a location follows; 10,000 unless set"`
	AliasedValues       int `config:"aliasedValues" doc:"values of one document that YAML aliases repeat; 50,000 unless set"`
	IndexBytes          int `config:"indexBytes" doc:"index rows that are held in memory to answer reads; 128 MiB unless set"`
	CachedBytes         int `config:"cachedBytes" doc:"entities that are held in memory to answer reads; 32 MiB unless set"`
}

// Validate refuses limits below zero; zero is the default.
func (l *limitsConfig) Validate() error {
	var errs []error
	for key, n := range map[string]int{"fileBytes": l.FileBytes, "documentsPerFile": l.DocumentsPerFile, "depth": l.Depth, "valuesPerDocument": l.ValuesPerDocument, "aliasedValues": l.AliasedValues,
		"entitiesPerLocation": l.EntitiesPerLocation, "entitiesPerDryRun": l.EntitiesPerDryRun} {
		if n < 0 {
			errs = append(errs, config.At(key, fmt.Errorf("is %d, want 1 or more", n)))
		}
	}
	return errors.Join(errs...)
}

func (l limitsConfig) entityLimits() entity.Limits {
	return entity.Limits{Bytes: l.FileBytes, Documents: l.DocumentsPerFile, Depth: l.Depth, Nodes: l.ValuesPerDocument, AliasedNodes: l.AliasedValues}
}

func (l limitsConfig) fileBytes() int64 {
	if l.FileBytes > 0 {
		return int64(l.FileBytes)
	}
	return 10 << 20
}

// movedConfig refuses keys that upstream refuses: whoever has them believes that they
// configure credentials.
type movedConfig struct{}

func (m *movedConfig) UnmarshalConfig(c *config.Config) error {
	var errs []error
	for old, now := range map[string]string{"github": "github", "gitlabApi": "gitlab", "bitbucketApi": "bitbucketCloud", "azureApi": "azure"} {
		if c.Has(old) {
			errs = append(errs, config.At(old, fmt.Errorf("is not read any more; move it to integrations.%s", now)))
		}
	}
	return errors.Join(errs...)
}

// Validate checks what spans several keys.
func (c *Config) Validate() error {
	var errs []error
	if c.Rules != nil {
		for i, r := range *c.Rules {
			if r.Locations == nil {
				continue
			}
			for j, l := range *r.Locations {
				at := fmt.Sprintf("rules[%d].locations[%d]", i, j)
				if l.Exact != "" && l.Pattern != "" {
					errs = append(errs, config.At(at, errors.New("exact and pattern exclude each other; remove one")))
				}
				if err := ingest.CheckPattern(l.Pattern); err != nil {
					errs = append(errs, config.At(at+".pattern", err))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// rules are those of catalog.rules and of the locations.
func (c *Config) rules(workingDirectory string) ingest.Rules {
	var out ingest.Rules
	if c.Rules == nil {
		out = ingest.DefaultRules()
	} else {
		for _, r := range *c.Rules {
			rule := ingest.Rule{}
			for _, a := range r.Allow {
				rule.Allow = append(rule.Allow, ingest.AllowedKind(a))
			}
			if r.Locations != nil {
				rule.Locations = []ingest.LocationMatch{}
				for _, l := range *r.Locations {
					rule.Locations = append(rule.Locations, ingest.LocationMatch(l))
				}
			}
			out = append(out, rule)
		}
	}
	for _, l := range c.Locations {
		at := l.location(workingDirectory)
		for _, r := range l.Rules {
			rule := ingest.Rule{Locations: []ingest.LocationMatch{{Type: at.Type, Exact: at.Target}}}
			for _, kind := range r.Allow {
				rule.Allow = append(rule.Allow, ingest.AllowedKind{Kind: kind})
			}
			out = append(out, rule)
		}
	}
	return out
}

func (l locationConfig) location(workingDirectory string) entity.Location {
	return ingest.AbsoluteTarget(entity.Location{Type: l.Type, Target: l.Target}, workingDirectory)
}

// missingProcessors names the locations of types that only processors which are gone
// could read, unless one of the installed processors is for them.
func (c *Config) missingProcessors(installed []string) error {
	if os.Getenv(SkipMissingProcessors) != "" {
		return nil
	}
	var errs []error
	for i, l := range c.Locations {
		for _, typ := range processorTypes() {
			if l.Type != typ || hasProcessorFor(installed, typ) {
				continue
			}
			errs = append(errs, config.AtWithFix(fmt.Sprintf("catalog.locations[%d].type", i),
				fmt.Errorf("is %q, which no processor of this backend reads", typ),
				"configure a provider below catalog.providers instead, or set "+SkipMissingProcessors+" in the environment to go on without"))
		}
	}
	return errors.Join(errs...)
}

// hasProcessorFor compares names as words: GithubDiscoveryProcessor is for
// github-discovery.
func hasProcessorFor(installed []string, typ string) bool {
	want := strings.ReplaceAll(typ, "-", "")
	for _, name := range installed {
		if strings.HasPrefix(strings.ToLower(name), want) {
			return true
		}
	}
	return false
}
