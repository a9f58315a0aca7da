// Drives the stock clients of notifications and signals against a running portal, and
// prints one line of JSON per case. The environment says where the clients are (folders
// NOTIFICATIONS, NOTIFICATIONS_NODE, SIGNALS, SIGNALS_NODE, and ERRORS, a package that one of
// them imports), where the portal is (BASE), and the token of a service (TOKEN).
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { BASE, TOKEN, NOTIFICATIONS, NOTIFICATIONS_NODE, SIGNALS, SIGNALS_NODE, ERRORS } = process.env;

// load imports one module of a package for browsers, which Node takes by its name's ending.
async function load(file) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'client-'));
  const copy = path.join(dir, 'module.mjs');
  const errors = pathToFileURL(require.resolve(ERRORS)).href;
  fs.writeFileSync(copy, fs.readFileSync(file, 'utf8').replace("'@backstage/errors'", `'${errors}'`));
  try {
    return await import(pathToFileURL(copy).href);
  } finally {
    fs.rmSync(dir, { recursive: true });
  }
}

async function check(name, run) {
  let error = '';
  try {
    await run();
  } catch (e) {
    error = e.stack || String(e);
  }
  console.log(JSON.stringify({ Name: name, Error: error }));
}

async function eventually(what, done) {
  for (const end = Date.now() + 30000; !done(); ) {
    if (Date.now() > end) throw new Error(`${what} did not come to pass`);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

async function main() {
  const signIn = await fetch(`${BASE}/api/auth/guest/refresh`, { method: 'POST', headers: { 'X-Requested-With': 'XMLHttpRequest' } });
  assert.equal(signIn.status, 200, await signIn.clone().text());
  const identity = (await signIn.json()).backstageIdentity;
  const discovery = { getBaseUrl: async id => `${BASE}/api/${id}` };
  const user = { fetch: (url, init = {}) => fetch(url, { ...init, headers: { ...init.headers, Authorization: `Bearer ${identity.token}` } }) };

  const { SignalClient } = await load(path.join(SIGNALS, 'SignalClient.esm.js'));
  const { NotificationsClient } = await load(path.join(NOTIFICATIONS, 'NotificationsClient.esm.js'));
  const { DefaultNotificationService } = require(path.join(NOTIFICATIONS_NODE, 'DefaultNotificationService.cjs.js'));
  const { DefaultSignalsService } = require(path.join(SIGNALS_NODE, 'DefaultSignalsService.cjs.js'));

  const heard = [];
  const other = [];
  const signals = SignalClient.create({ identity: { getCredentials: async () => ({ token: identity.token }) }, discoveryApi: discovery });
  const subscription = signals.subscribe('notifications', m => heard.push(m));
  const another = signals.subscribe('conformance', m => other.push(m));
  const notifications = new NotificationsClient({ discoveryApi: discovery, fetchApi: user });
  const sender = DefaultNotificationService.create({
    discovery,
    auth: { getOwnServiceCredentials: async () => ({}), getPluginRequestToken: async () => ({ token: TOKEN }) },
  });
  // The events service of a plugin elsewhere, which hands its events to the bus.
  const speaker = DefaultSignalsService.create({
    events: {
      publish: async ({ topic, eventPayload }) => {
        const res = await fetch(`${BASE}/api/events/bus/v1/events`, {
          method: 'POST',
          headers: { Authorization: `Bearer ${TOKEN}`, 'Content-Type': 'application/json' },
          body: JSON.stringify({ event: { topic, payload: eventPayload } }),
        });
        assert.ok(res.ok, `the bus answers ${res.status}`);
      },
    },
  });
  let first;

  await check('signals are heard', async () => {
    for (const end = Date.now() + 30000; other.length === 0; ) {
      assert.ok(Date.now() < end, 'no signal has come');
      await speaker.publish({ recipients: { type: 'user', entityRef: identity.userEntityRef ?? identity.identity.userEntityRef }, channel: 'conformance', message: { hello: 1 } });
      await new Promise(resolve => setTimeout(resolve, 100));
    }
    assert.deepEqual(other[0], { hello: 1 });
  });
  await check('a plugin sends, and the browser hears', async () => {
    await sender.send({ recipients: { type: 'entity', entityRef: identity.identity?.userEntityRef ?? identity.userEntityRef }, payload: { title: 'first', topic: 'builds', severity: 'high', link: '/catalog' } });
    await sender.send({ recipients: { type: 'broadcast' }, payload: { title: 'second' } });
    await eventually('both signals', () => heard.filter(m => m.action === 'new_notification').length === 2);
    first = (await notifications.getNotification(heard[0].notification_id)) ?? {};
    assert.ok(['first', 'second'].includes(first.payload.title));
  });
  await check('lists', async () => {
    const all = await notifications.getNotifications({ limit: 10, offset: 0, sort: 'created', sortOrder: 'desc', read: false, saved: false });
    assert.equal(all.totalCount, 2);
    assert.deepEqual(all.notifications.map(n => n.payload.title), ['second', 'first']);
    first = all.notifications[1];
    const some = await notifications.getNotifications({ search: 'FIR', minimumSeverity: 'high', topic: 'builds', createdAfter: new Date(0), read: false, limit: 5 });
    assert.equal(some.totalCount, 1);
    assert.equal((await notifications.getNotifications({ createdAfter: new Date(Date.now() + 1e6) })).totalCount, 0);
    assert.deepEqual((await notifications.getTopics({ minimumSeverity: 'high', read: false, search: 'first', createdAfter: new Date(0) })).topics, ['builds']);
  });
  await check('reads and saves', async () => {
    assert.deepEqual(await notifications.getStatus(), { unread: 2, read: 0 });
    const updated = await notifications.updateNotifications({ ids: [first.id], read: true, saved: true });
    assert.ok(updated[0].read && updated[0].saved);
    assert.deepEqual(await notifications.getStatus(), { unread: 1, read: 1 });
    await eventually('the signal', () => heard.some(m => m.action === 'notification_read' && m.notification_ids.includes(first.id)));
  });
  await check('settings', async () => {
    const settings = await notifications.getNotificationSettings();
    const web = settings.channels.find(c => c.id === 'Web');
    web.origins[0].topics.find(t => t.id === 'builds').enabled = false;
    const after = await notifications.updateNotificationSettings(settings);
    assert.equal(after.channels.find(c => c.id === 'Web').origins[0].topics.find(t => t.id === 'builds').enabled, false);
  });
  await check('errors', async () => {
    await assert.rejects(notifications.getNotification('nonsense'), e => e.name === 'NotFoundError' || e.response?.status === 404 || e.statusCode === 404);
  });
  subscription.unsubscribe();
  another.unsubscribe();
}

main().then(() => process.exit(0), e => {
  console.error(e);
  process.exit(1);
});
