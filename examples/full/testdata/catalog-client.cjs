// Drives every method of a stock catalog client against a running portal, and prints
// one line of JSON per case. The environment says which client (PACKAGE, a folder),
// where the portal is (BASE), the token (TOKEN), and where descriptors can be
// registered from (SITE).
'use strict';
const assert = require('node:assert/strict');
const { CatalogClient, CATALOG_FILTER_EXISTS } = require(process.env.PACKAGE);
const { BASE, TOKEN, SITE } = process.env;

const called = new Set();
const client = new Proxy(
  new CatalogClient({ discoveryApi: { getBaseUrl: async id => `${BASE}/api/${id}` } }),
  {
    get(target, name) {
      if (typeof target[name] === 'function') called.add(name);
      return typeof target[name] === 'function' ? target[name].bind(target) : target[name];
    },
  },
);
const has = name => typeof CatalogClient.prototype[name] === 'function';
const as = { token: TOKEN };
const refs = list => list.map(e => `${e.kind}:${e.metadata.namespace || 'default'}/${e.metadata.name}`.toLowerCase());

// status checks how a call fails. Old clients throw plain errors, with the status in the
// text or not at all.
const status = want => e => {
  if (e.response) assert.equal(e.response.status, want);
  else assert.ok(e instanceof Error && !(e instanceof TypeError), String(e));
  return true;
};

// eventually retries what the catalog does in the background.
async function eventually(what, check) {
  let last;
  for (const end = Date.now() + 30000; Date.now() < end; ) {
    try {
      return await check();
    } catch (e) {
      last = e;
      await new Promise(resolve => setTimeout(resolve, 100));
    }
  }
  throw new Error(`${what}: ${last.message}`);
}

const cases = {
  async getEntities() {
    const all = await client.getEntities({ filter: { kind: 'Component' } }, as);
    assert.ok(all.items.length > 20);
    assert.ok(all.items.every(e => e.kind === 'Component' && e.metadata.uid && e.metadata.etag && Array.isArray(e.relations)));
    const some = await client.getEntities(
      { filter: [{ kind: ['Group', 'User'], 'metadata.name': 'team-payments' }, { kind: 'Domain', 'metadata.title': CATALOG_FILTER_EXISTS }], fields: ['kind', 'metadata.name'] }, as);
    assert.ok(some.items.length >= 1);
    assert.ok(some.items.every(e => e.spec === undefined && e.kind && e.metadata.name));
    const page = await client.getEntities({ filter: { kind: 'Component' }, order: { field: 'metadata.name', order: 'desc' }, limit: 3, offset: 1 }, as);
    const names = all.items.map(e => e.metadata.name.toLowerCase()).sort().reverse();
    const got = page.items.map(e => e.metadata.name.toLowerCase());
    const want = names.slice(1, 4);
    if (!has('streamEntities')) want.sort(); // old clients sort a page by name
    assert.deepEqual(got, want);
    assert.deepEqual((await client.getEntities({ filter: { kind: 'Nope' } }, as)).items, []);
  },
  async getEntitiesByRefs() {
    const want = ['component:default/checkout-api', 'component:default/nope', 'group:default/team-payments'];
    const got = await client.getEntitiesByRefs({ entityRefs: want, fields: ['kind', 'metadata.name', 'metadata.namespace'] }, as);
    assert.equal(got.items.length, 3);
    assert.equal(got.items[1], undefined);
    assert.deepEqual(refs([got.items[0]]), [want[0]]);
    const filtered = await client.getEntitiesByRefs({ entityRefs: want, filter: { kind: 'Group' } }, as);
    assert.equal(filtered.items[0], undefined);
    const many = Array.from({ length: 2500 }, (_, i) => `component:default/none-${i}`).concat(want[0]);
    const chunked = await client.getEntitiesByRefs({ entityRefs: many }, as);
    assert.equal(chunked.items.length, 2501);
    assert.equal(chunked.items[2500].metadata.name, 'checkout-api');
  },
  async queryEntities() {
    const initial = { filter: { kind: 'Component' }, orderFields: { field: 'metadata.name', order: 'asc' }, limit: 7, fields: ['metadata.name'] };
    const names = [];
    let page = await client.queryEntities(initial, as);
    const total = page.totalItems;
    assert.equal(page.pageInfo.prevCursor, undefined);
    const first = page;
    for (;;) {
      names.push(...page.items.map(e => e.metadata.name));
      assert.equal(page.totalItems, total);
      if (!page.pageInfo.nextCursor) break;
      page = await client.queryEntities({ cursor: page.pageInfo.nextCursor, limit: 7, fields: ['metadata.name'] }, as);
    }
    assert.equal(names.length, total);
    assert.deepEqual(names, [...names].sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1)));
    let back = await client.queryEntities({ cursor: first.pageInfo.nextCursor, limit: 7, fields: ['metadata.name'] }, as);
    back = await client.queryEntities({ cursor: back.pageInfo.prevCursor, limit: 7, fields: ['metadata.name'] }, as);
    assert.deepEqual(back.items, first.items);
    const text = await client.queryEntities({ fullTextFilter: { term: 'CHECKOUT', fields: ['metadata.name'] } }, as);
    assert.ok(text.items.length > 0 && text.items.every(e => e.metadata.name.includes('checkout')));
    if (has('queryEntitiesByPredicate')) {
      let predicate = await client.queryEntities({ query: { kind: 'component', 'spec.type': { $in: ['service', 'website'] } }, limit: 2 }, as);
      assert.equal(predicate.items.length, 2);
      const all = predicate.totalItems;
      let n = predicate.items.length;
      while (predicate.pageInfo.nextCursor) {
        predicate = await client.queryEntities({ cursor: predicate.pageInfo.nextCursor, limit: 50 }, as);
        n += predicate.items.length;
      }
      assert.equal(n, all);
    }
  },
  async streamEntities() {
    const seen = new Set();
    let pages = 0;
    for await (const page of client.streamEntities({ filter: { kind: 'User' }, pageSize: 5 }, as)) {
      pages++;
      for (const e of page) seen.add(e.metadata.uid);
    }
    const { items } = await client.getEntities({ filter: { kind: 'User' }, fields: ['metadata.uid'] }, as);
    assert.equal(seen.size, items.length);
    assert.ok(pages > 1);
  },
  async getEntityAncestors() {
    const got = await client.getEntityAncestors({ entityRef: 'component:default/checkout-api' }, as);
    assert.equal(got.rootEntityRef, 'component:default/checkout-api');
    assert.ok(got.items.length > 1 && got.items.some(i => i.parentEntityRefs.length === 0));
  },
  async getEntityByRef() {
    assert.equal((await client.getEntityByRef('component:checkout-api', as)).metadata.name, 'checkout-api');
    assert.equal((await client.getEntityByRef({ kind: 'Component', namespace: 'default', name: 'checkout-api' }, as)).kind, 'Component');
    assert.equal(await client.getEntityByRef('component:nope', as), undefined);
  },
  async getEntityByName() {
    assert.equal((await client.getEntityByName({ kind: 'Component', namespace: 'default', name: 'checkout-api' }, as)).kind, 'Component');
    assert.equal(await client.getEntityByName({ kind: 'Component', namespace: 'default', name: 'nope' }, as), undefined);
  },
  async getEntityFacets() {
    const { facets } = await client.getEntityFacets({ facets: ['kind', 'spec.type'], filter: { kind: ['Component', 'API'] } }, as);
    assert.deepEqual(facets.kind.map(f => f.value).sort(), ['API', 'Component']);
    assert.ok(facets['spec.type'].every(f => f.count > 0));
    if (has('getEntityFacetsByPredicate')) {
      const again = await client.getEntityFacets({ facets: ['kind'], query: { kind: { $in: ['component', 'api'] } } }, as);
      assert.deepEqual(again.facets.kind, facets.kind);
    }
  },
  async refreshEntity() {
    await client.refreshEntity('component:default/checkout-api', as);
    await assert.rejects(client.refreshEntity('component:default/nope', as), status(404));
  },
  async addLocation() {
    const target = `${SITE}/a.yaml`;
    const dry = await client.addLocation({ target, dryRun: true }, as);
    assert.equal(dry.exists, false);
    assert.ok(refs(dry.entities).includes('component:default/registered-a'));
    const added = await client.addLocation({ type: 'url', target }, as);
    assert.ok(added.location.id);
    await assert.rejects(client.addLocation({ target }, as), status(409));
    assert.equal((await client.addLocation({ target, dryRun: true }, as)).exists, true);
    if (has('updateLocation')) {
      assert.equal((await client.addLocation({ target, onConflict: 'refresh' }, as)).location.id, added.location.id);
    }
    await eventually('the entity of the location', async () => assert.ok(await client.getEntityByRef('component:default/registered-a', as)));
  },
  async getLocations() {
    const { items } = await client.getLocations({}, as);
    assert.ok(items.some(l => l.target === `${SITE}/a.yaml` && l.id && l.type === 'url'));
  },
  async queryLocations() {
    await client.addLocation({ target: `${SITE}/b.yaml` }, as);
    let page = await client.queryLocations({ limit: 1, query: { type: 'url', target: { $hasPrefix: SITE } } }, as);
    assert.equal(page.totalItems, 2);
    const targets = page.items.map(l => l.target);
    page = await client.queryLocations({ cursor: page.pageInfo.nextCursor }, as);
    assert.deepEqual([...targets, ...page.items.map(l => l.target)].sort(), [`${SITE}/a.yaml`, `${SITE}/b.yaml`]);
    assert.equal(page.pageInfo.nextCursor, undefined);
  },
  async streamLocations() {
    let n = 0;
    for await (const page of client.streamLocations({ query: { target: { $hasPrefix: SITE } } }, as)) n += page.length;
    assert.equal(n, 2);
  },
  async getLocationByRef() {
    assert.equal((await client.getLocationByRef(`url:${SITE}/a.yaml`, as)).target, `${SITE}/a.yaml`);
    assert.equal(await client.getLocationByRef(`url:${SITE}/none.yaml`, as), undefined);
  },
  async getLocationById() {
    const { id } = await client.getLocationByRef(`url:${SITE}/a.yaml`, as);
    assert.equal((await client.getLocationById(id, as)).id, id);
    assert.equal(await client.getLocationById('00000000-0000-4000-8000-000000000000', as), undefined);
  },
  async getLocationByEntity() {
    const found = await eventually('the location of the entity', async () => {
      const l = await client.getLocationByEntity('component:default/registered-a', as);
      assert.ok(l);
      return l;
    });
    assert.equal(found.target, `${SITE}/a.yaml`);
    assert.equal(await client.getLocationByEntity('component:default/checkout-api', as), undefined);
  },
  async updateLocation() {
    const { id } = await client.getLocationByRef(`url:${SITE}/b.yaml`, as);
    const updated = await client.updateLocation(id, { target: `${SITE}/c.yaml` }, as);
    assert.deepEqual([updated.id, updated.target], [id, `${SITE}/c.yaml`]);
    await assert.rejects(client.updateLocation(id, { target: `${SITE}/a.yaml` }, as), status(409));
    await client.removeLocationById(id, as);
  },
  async validateEntity() {
    const entity = { apiVersion: 'backstage.io/v1alpha1', kind: 'Component', metadata: { name: 'x' }, spec: { type: 'service', lifecycle: 'production', owner: 'a' } };
    const location = `url:${SITE}/x.yaml`;
    assert.deepEqual(await client.validateEntity(entity, location, as), { valid: true });
    const bad = await client.validateEntity({ ...entity, spec: { type: 'service' } }, location, as);
    assert.equal(bad.valid, false);
    assert.ok(bad.errors.length >= 1 && bad.errors.every(e => e.name && e.message));
  },
  async analyzeLocation() {
    const got = await client.analyzeLocation({ location: { type: 'url', target: `${SITE}/repository` } }, as);
    assert.deepEqual(got.existingEntityFiles, []);
    assert.equal(got.generateEntities[0].entity.kind, 'Component');
  },
  async removeEntityByUid() {
    const entity = await client.getEntityByRef('component:default/registered-a', as);
    await client.removeEntityByUid(entity.metadata.uid, as);
    await eventually('the entity to come back with another uid', async () => {
      const again = await client.getEntityByRef('component:default/registered-a', as);
      assert.ok(again && again.metadata.uid !== entity.metadata.uid);
    });
  },
  async removeLocationById() {
    const { id } = await client.getLocationByRef(`url:${SITE}/a.yaml`, as);
    await client.removeLocationById(id, as);
    await assert.rejects(client.removeLocationById(id, as), status(404));
    await eventually('the entity to go', async () => assert.equal(await client.getEntityByRef('component:default/registered-a', as), undefined));
  },
  // Not a method: what every call without a token gets.
  async unauthenticated() {
    await assert.rejects(client.getEntities({}), status(401));
  },
};

(async () => {
  for (const [name, run] of Object.entries(cases)) {
    if (name !== 'unauthenticated' && !has(name)) continue;
    let error = '';
    try {
      await run();
    } catch (e) {
      error = String(e.stack || e);
    }
    console.log(JSON.stringify({ name, error }));
  }
  // Helpers of the class, which are not part of its interface.
  const helpers = ['constructor', 'requestIgnored', 'requestRequired', 'requestOptional', 'getFilterValue', 'queryEntitiesByPredicate', 'getEntityFacetsByPredicate'];
  const missed = Object.getOwnPropertyNames(CatalogClient.prototype).filter(name => !helpers.includes(name) && !called.has(name));
  console.log(JSON.stringify({ name: 'every method', error: missed.length ? `not called: ${missed.join(', ')}` : '' }));
})();
