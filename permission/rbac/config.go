package rbac

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
	"github.com/callboard-dev/callboard/permission/rbac/internal/policyfile"
)

// Config is the subtree permission.rbac.
type Config struct {
	PoliciesCSVFile         string `config:"policies-csv-file" doc:"path of the policy file"`
	ConditionalPoliciesFile string `config:"conditionalPoliciesFile" doc:"path of the file of conditional policies"`
	PolicyFileReload        bool   `config:"policyFileReload" doc:"take over changes of both files while running"`

	Admin                    Admin              `config:"admin"`
	PluginsWithPermission    []string           `config:"pluginsWithPermission" doc:"plugins whose permissions the user interface offers"`
	MaxDepth                 *int               `config:"maxDepth" doc:"how many steps above a user's own groups count; all if absent, 0 for none"`
	PolicyDecisionPrecedence string             `config:"policyDecisionPrecedence" oneof:"basic|conditional" doc:"what decides if both rules and conditions are about something"`
	UseOwnershipEntityRefs   bool               `config:"useOwnershipEntityRefs" doc:"look up roles by the references of the session, too"`
	DefaultPermissions       DefaultPermissions `config:"defaultPermissions"`
	Validation               Validation         `config:"validation"`

	// KubernetesProxyImpliesRead is Callboard's own (contract permission.md, section 8).
	KubernetesProxyImpliesRead bool   `config:"kubernetesProxyImpliesRead" doc:"kubernetes.proxy stands for kubernetes.clusters.read and kubernetes.resources.read, unless a rule names one of them"`
	StrictConditionMapping     bool   `config:"strictConditionMapping" doc:"the REST API refuses conditions that name actions without permissions"`
	PlainConditionMapping      bool   `config:"plainConditionMapping" doc:"the REST API shows the actions of all conditions without permissions, which is what user interfaces up to 1.38 read"`
	AuditEvaluations           string `config:"auditEvaluations" oneof:"all|deny|none" doc:"which decisions are audit events"`
}

// Admin says who may do what without a role of the file.
type Admin struct {
	Users      []Named `config:"users" doc:"users and groups that may edit roles"`
	SuperUsers []Named `config:"superUsers" doc:"users and groups that may do everything"`
}

// Named is a list element {name: ...}.
type Named struct {
	Name string `config:"name,required" doc:"full reference of a user or group"`
}

// DefaultPermissions is the role of everybody who is signed in.
type DefaultPermissions struct {
	DefaultRole      string            `config:"defaultRole" doc:"full reference of the role"`
	BasicPermissions []BasicPermission `config:"basicPermissions" doc:"what it allows"`
}

// BasicPermission is one rule of the default role.
type BasicPermission struct {
	Permission string `config:"permission,required" doc:"name of a permission, or a type of resources"`
	Action     string `config:"action" doc:"create, read, update, delete or use; use if absent"`
}

// Validation bounds conditional policies.
type Validation struct {
	ConditionalPolicies struct {
		MaxConditionDepth     int `config:"maxConditionDepth" doc:"how deep conditions may nest"`
		MaxConditionNodeCount int `config:"maxConditionNodeCount" doc:"how many nodes a condition may have"`
		MaxCriteriaItems      int `config:"maxCriteriaItems" doc:"how many parts allOf and anyOf may have"`
	} `config:"conditionalPolicies"`
	ConditionalPoliciesFile struct {
		MaxBytes     int `config:"maxBytes" doc:"size of the file"`
		MaxDocuments int `config:"maxDocuments" doc:"how many documents the file may have"`
	} `config:"conditionalPoliciesFile"`
}

// Validate implements config.Validator.
func (v *Validation) Validate() error {
	var errs []error
	for _, one := range []struct {
		key   string
		value int
	}{
		{"conditionalPolicies.maxConditionDepth", v.ConditionalPolicies.MaxConditionDepth},
		{"conditionalPolicies.maxConditionNodeCount", v.ConditionalPolicies.MaxConditionNodeCount},
		{"conditionalPolicies.maxCriteriaItems", v.ConditionalPolicies.MaxCriteriaItems},
		{"conditionalPoliciesFile.maxBytes", v.ConditionalPoliciesFile.MaxBytes},
		{"conditionalPoliciesFile.maxDocuments", v.ConditionalPoliciesFile.MaxDocuments},
	} {
		if one.value <= 0 {
			errs = append(errs, config.At(one.key, errors.New("must be greater than 0")))
		}
	}
	return errors.Join(errs...)
}

func defaults() Config {
	c := Config{PolicyDecisionPrecedence: "conditional", KubernetesProxyImpliesRead: true, AuditEvaluations: "deny"}
	v := &c.Validation
	v.ConditionalPolicies.MaxConditionDepth, v.ConditionalPolicies.MaxConditionNodeCount, v.ConditionalPolicies.MaxCriteriaItems = 12, 256, 64
	v.ConditionalPoliciesFile.MaxBytes, v.ConditionalPoliciesFile.MaxDocuments = 1<<20, 256
	return c
}

// Validate implements config.Validator.
func (c *Config) Validate() error {
	var errs []error
	for i, u := range c.Admin.Users {
		if err := engine.CheckRef(strings.ToLower(u.Name), "user", "group"); err != nil {
			errs = append(errs, config.At(fmt.Sprintf("admin.users[%d].name", i), err))
		}
	}
	if c.PlainConditionMapping && c.StrictConditionMapping {
		errs = append(errs, config.At("plainConditionMapping", errors.New("is for user interfaces that strictConditionMapping refuses; set one of them")))
	}
	if c.MaxDepth != nil && *c.MaxDepth < 0 {
		errs = append(errs, config.At("maxDepth", errors.New("must not be negative; leave it out for no limit")))
	}
	d := c.DefaultPermissions
	if d.DefaultRole == "" && len(d.BasicPermissions) > 0 {
		errs = append(errs, config.At("defaultPermissions.defaultRole", errors.New("required key is missing")))
	}
	if d.DefaultRole != "" {
		if err := engine.CheckRef(d.DefaultRole, "role"); err != nil {
			errs = append(errs, config.At("defaultPermissions.defaultRole", err))
		} else if d.DefaultRole == engine.Admin {
			errs = append(errs, config.At("defaultPermissions.defaultRole", errors.New("this is the role of the administrators")))
		}
		if len(d.BasicPermissions) == 0 {
			errs = append(errs, config.At("defaultPermissions.basicPermissions", errors.New("the default role needs at least one permission")))
		}
	}
	for i, r := range c.defaultRules() {
		r.Subject = engine.Admin // the role has been checked
		if err := engine.CheckRule(r); err != nil {
			errs = append(errs, config.At(fmt.Sprintf("defaultPermissions.basicPermissions[%d]", i), err))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) defaultRules() (out []engine.Rule) {
	for _, p := range c.DefaultPermissions.BasicPermissions {
		action := p.Action
		if action == "" {
			action = engine.Use
		}
		out = append(out, engine.Rule{Subject: c.DefaultPermissions.DefaultRole, Permission: p.Permission, Action: action, Effect: "allow", Source: engine.SourceConfiguration})
	}
	return out
}

// admins are the members of the role of administrators.
func (c *Config) admins() (out []engine.Member) {
	for _, u := range c.Admin.Users {
		m := engine.Member{Ref: strings.ToLower(u.Name), Role: engine.Admin, Source: engine.SourceConfiguration}
		if !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}

func (c *Config) engineOptions() engine.Options {
	o := engine.Options{
		SuperUsers: map[string]bool{}, DefaultRole: c.DefaultPermissions.DefaultRole,
		BasicFirst: c.PolicyDecisionPrecedence == "basic", OwnershipRefs: c.UseOwnershipEntityRefs, ProxyImpliesRead: c.KubernetesProxyImpliesRead,
	}
	for _, u := range c.Admin.SuperUsers {
		o.SuperUsers[u.Name] = true
	}
	return o
}

func (c *Config) depth() int {
	if c.MaxDepth == nil {
		return engine.Unlimited
	}
	return *c.MaxDepth
}

func (c *Config) limits() policyfile.Limits {
	v := c.Validation
	return policyfile.Limits{
		Depth: v.ConditionalPolicies.MaxConditionDepth, Nodes: v.ConditionalPolicies.MaxConditionNodeCount, Items: v.ConditionalPolicies.MaxCriteriaItems,
		Bytes: v.ConditionalPoliciesFile.MaxBytes, Documents: v.ConditionalPoliciesFile.MaxDocuments,
	}
}
