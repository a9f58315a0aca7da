package entity

// A kindRule is one row of the table in contract catalog.md, 2.4.
type kindRule struct {
	kind        string
	apiVersions []string
	spec        *shape
	// variants are further rules by spec.type; one that is alone replaces spec.
	variants  map[string]variant
	relations []relationField
}

type variant struct {
	spec  *shape
	alone bool
}

// What references look like. Whether they can be read is for RelationsOf to say,
// which knows their default kinds.
var (
	qualified    = &shape{types: stringType, form: &form{valid: qualifiedRef, expect: "an entity reference with a kind", pattern: `^[^:/]+:.+$`}}
	ref          = nonEmpty
	refs         = arrayOf(ref)
	qualifieds   = arrayOf(qualified)
	strings1     = arrayOf(nonEmpty)
	profile      = objectOf(optional("displayName", nonEmpty), optional("email", nonEmpty), optional("picture", nonEmpty))
	coreVersions = []string{"backstage.io/v1alpha1", "backstage.io/v1beta1"}
)

// builtinKinds are the kinds every catalog has. A new table is made for each call:
// the caller may change it.
func builtinKinds() []kindRule {
	return []kindRule{
		{
			kind: "Component", apiVersions: coreVersions,
			spec: objectOf(
				required("type", nonEmpty), required("lifecycle", nonEmpty), required("owner", ref),
				optional("system", ref), optional("subcomponentOf", ref),
				optional("providesApis", refs), optional("consumesApis", refs),
				optional("dependsOn", qualifieds), optional("dependencyOf", qualifieds)),
			relations: []relationField{owner, subcomponent, partOfSystem, providesAPIs, consumesAPIs, dependsOn, dependencyOf},
		},
		{
			kind: "API", apiVersions: coreVersions,
			spec: objectOf(
				required("type", nonEmpty), required("lifecycle", nonEmpty), required("owner", ref),
				required("definition", nonEmpty), optional("system", ref)),
			relations: []relationField{owner, partOfSystem},
		},
		{
			kind: "Resource", apiVersions: coreVersions,
			spec: objectOf(
				required("type", nonEmpty), required("owner", ref), optional("system", ref),
				optional("dependsOn", qualifieds), optional("dependencyOf", qualifieds)),
			relations: []relationField{owner, partOfSystem, dependsOn, dependencyOf},
		},
		{
			kind: "System", apiVersions: coreVersions,
			spec:      objectOf(required("owner", ref), optional("domain", ref), optional("type", nonEmpty)),
			relations: []relationField{owner, partOfDomain},
		},
		{
			kind: "Domain", apiVersions: coreVersions,
			spec:      objectOf(required("owner", ref), optional("subdomainOf", ref), optional("type", nonEmpty)),
			relations: []relationField{owner, subdomainOf},
		},
		{
			kind: "Group", apiVersions: coreVersions,
			spec: objectOf(
				required("type", nonEmpty), required("children", refs),
				optional("profile", profile), optional("parent", ref), optional("members", refs)),
			relations: []relationField{groupParent, groupChildren, groupMembers},
		},
		{
			kind: "User", apiVersions: coreVersions,
			spec:      objectOf(required("memberOf", refs), optional("profile", profile)),
			relations: []relationField{memberOf},
		},
		{
			kind: "Location", apiVersions: coreVersions,
			spec: objectOf(
				optional("type", nonEmpty), optional("target", nonEmpty), optional("targets", strings1),
				optional("presence", &shape{types: stringType, oneOf: []string{"required", "optional"}})),
		},
		templateKind(),
	}
}

func templateKind() kindRule {
	permissions := optional("backstage:permissions", objectOf(optional("tags", arrayOf(anyString))))
	section := objectOf(permissions)
	decorators := arrayOf(objectOf(optional("id", anyString), optional("input", anyObject)))
	return kindRule{
		kind: "Template", apiVersions: []string{"scaffolder.backstage.io/v1beta3"},
		spec: objectOf(
			required("type", nonEmpty),
			required("steps", arrayOf(objectOf(
				required("action", anyString), optional("id", anyString), optional("name", anyString),
				optional("input", anyObject), optional("if", condition), permissions))),
			optional("owner", ref), optional("lifecycle", nonEmpty),
			optional("parameters", &shape{types: objectType | arrayType, members: section.members, items: section}),
			optional("secrets", objectOf(optional("schema", anyObject))),
			optional("presentation", objectOf(optional("buttonLabels", objectOf(
				optional("backButtonText", anyString), optional("createButtonText", anyString), optional("reviewButtonText", anyString))))),
			optional("output", &shape{types: objectType, rest: anyString, members: []member{
				optional("links", arrayOf(objectOf(
					optional("if", condition), optional("url", nonEmpty), optional("entityRef", nonEmpty),
					optional("title", nonEmpty), optional("icon", nonEmpty)))),
				optional("text", arrayOf(objectOf(
					optional("if", condition), optional("title", nonEmpty), optional("icon", nonEmpty), optional("content", anyString)))),
			}}),
			optional("formDecorators", decorators), optional("EXPERIMENTAL_formDecorators", decorators),
			optional("EXPERIMENTAL_recovery", objectOf(optional("EXPERIMENTAL_strategy", anyString)))),
		relations: []relationField{owner},
	}
}

// aiKinds are the opt-in kinds of the newest model: AiResource, and APIs of type
// mcp-server, which have remotes instead of a definition.
func aiKinds() []kindRule {
	kinds := builtinKinds()
	for i := range kinds {
		if kinds[i].kind == "API" {
			kinds[i].variants = map[string]variant{"mcp-server": {alone: true, spec: objectOf(
				required("type", nonEmpty), required("lifecycle", nonEmpty), required("owner", ref), optional("system", ref),
				required("remotes", &shape{types: arrayType, minItems: 1, items: objectOf(required("type", nonEmpty), required("url", nonEmpty))}))}}
		}
	}
	return append(kinds, kindRule{
		kind: "AiResource", apiVersions: coreVersions[:1],
		spec: objectOf(required("type", nonEmpty), required("lifecycle", nonEmpty), required("owner", ref), optional("system", ref)),
		variants: map[string]variant{
			"skill": {spec: objectOf(
				optional("disciplines", strings1), optional("categories", strings1), optional("agents", strings1), optional("dependsOn", refs),
				optional("allowedTools", nonEmpty), optional("license", nonEmpty),
				optional("compatibility", &shape{types: stringType, nonEmpty: true, maxRunes: 500}))},
			"rule":        {spec: objectOf(required("category", nonEmpty), required("rationale", nonEmpty), optional("disciplines", strings1))},
			"plugin":      {spec: objectOf(required("skills", refs), optional("version", nonEmpty))},
			"marketplace": {spec: objectOf(required("plugins", refs), optional("version", nonEmpty))},
		},
		relations: []relationField{owner, partOfSystem},
	})
}
