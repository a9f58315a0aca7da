// Goes through the stock frontend with a browser: node drive.mjs FOLDER SETTINGS
//
// FOLDER is the npm project with playwright-core; SETTINGS is JSON: {chromium, origin, base, shots, steps, …},
// where origin is the address of the portal, base that of the frontend, shots the folder for
// screenshots, and steps what to do. What happened is printed as JSON, for the test to judge.
import { createRequire } from 'node:module';

const [folder, text] = process.argv.slice(2);
const settings = JSON.parse(text);
const { chromium } = createRequire(`${folder}/package.json`)('playwright-core');

const browser = await chromium.launch({
  executablePath: settings.chromium,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const context = await browser.newContext({ viewport: { width: 1400, height: 1000 } });
const page = await context.newPage();
page.setDefaultTimeout(30_000);

let step = 'start';
const out = { steps: [], requests: [], console: [], errors: [], sockets: [] };
const known = url => url.startsWith(settings.origin) ? url.slice(settings.origin.length) : url;
context.on('response', r => out.requests.push({ step, method: r.request().method(), path: known(r.url()), status: r.status(), type: r.request().resourceType() }));
context.on('requestfailed', r => out.requests.push({ step, method: r.method(), path: known(r.url()), status: 0, type: r.resourceType(), failure: r.failure()?.errorText }));
page.on('console', m => out.console.push({ step, type: m.type(), text: m.text(), url: known(m.location().url) }));
context.on('weberror', e => out.errors.push({ step, text: String(e.error()) }));
page.on('websocket', s => out.sockets.push({ step, path: known(s.url().replace(/^ws/, 'http')) }));

// A step ends with what must be on the page, and a picture of it. What fails is told, and the
// next step begins with an address of its own.
const steps = {
  async 'sign-in'() {
    await page.goto(`${settings.base}/`);
    await page.getByRole('button', { name: 'Enter' }).click();
    await page.getByRole('link', { name: 'Catalog', exact: true }).or(page.getByRole('link', { name: 'Home' })).first().waitFor();
  },
  async 'catalog'() {
    await page.goto(`${settings.base}/catalog?filters%5Bkind%5D=component&filters%5Buser%5D=all`);
    await page.getByText('checkout-api').first().waitFor();
  },
  async 'catalog-filters'() {
    await page.goto(`${settings.base}/catalog?filters%5Bkind%5D=api&filters%5Buser%5D=all`);
    await page.getByRole('heading', { name: /APIs? \(\d+\)/i }).or(page.getByText(/All APIs/i)).first().waitFor();
    await page.getByPlaceholder(/search|filter/i).first().fill('checkout');
    await page.waitForTimeout(1500);
    await page.getByText(/checkout/i).first().waitFor();
  },
  async 'entity'() {
    await page.goto(`${settings.base}/catalog/default/component/checkout-api`);
    await page.getByText('Relations').first().waitFor();
    await page.locator('svg').getByText('checkout-api').first().waitFor();
  },
  async 'graph'() {
    await page.goto(`${settings.base}/catalog-graph?rootEntityRefs%5B%5D=component%3Adefault%2Fcheckout-api`);
    await page.locator('svg').getByText('checkout-api').first().waitFor();
  },
  async 'api-definition'() {
    await page.goto(`${settings.base}/catalog/default/api/${settings.api}/definition`);
    await page.getByText(settings.operation).first().waitFor();
  },
  async 'settings'() {
    await page.goto(`${settings.base}/settings`);
    await page.getByText(/Profile/).first().waitFor();
    await page.getByText(/guest/i).first().waitFor();
  },
  async 'star'() {
    // Stars are kept by the backend, for every browser of the user.
    await page.goto(`${settings.base}/catalog/default/component/checkout-api`);
    const star = page.getByRole('button', { name: /add to favorites/i }).first();
    await star.waitFor();
    const kept = page.waitForResponse(r => r.url().includes('/api/user-settings/buckets/') && r.request().method() === 'PUT');
    await star.click();
    if ((await kept).status() !== 200) {
      throw new Error(`the star is not kept: ${(await kept).status()}`);
    }
    await page.evaluate(() => Object.keys(localStorage).filter(k => /star/i.test(k)).forEach(k => localStorage.removeItem(k)));
    await page.goto(`${settings.base}/catalog?filters%5Bkind%5D=component&filters%5Buser%5D=starred`);
    await page.getByText(/Starred.*\(1\)/i).first().waitFor();
    await page.getByText('checkout-api').first().waitFor();
  },
  async 'notifications'() {
    // The page hears of a new one by its WebSocket, without asking again.
    await page.goto(`${settings.base}/notifications`);
    await page.getByRole('heading', { name: 'Notifications' }).first().waitFor();
    await page.waitForLoadState('networkidle');
    const answer = await fetch(`${settings.origin}/api/notifications`, {
      method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${settings.token}` },
      body: JSON.stringify({
        recipients: { type: 'entity', entityRef: settings.user },
        payload: { title: 'The nightly build failed', description: 'Step 3 of 7', severity: 'high', topic: 'ci', link: '/catalog' },
      }),
    });
    if (answer.status !== 200) {
      throw new Error(`the notification is not taken: ${answer.status} ${await answer.text()}`);
    }
    await page.getByText('The nightly build failed').first().waitFor();
  },
  async 'nowhere'() {
    await page.goto(`${settings.base}/there/is/no/such/page`);
    await page.getByText(/404|not found|couldn't find/i).first().waitFor();
  },
};
for (const name of settings.steps) {
  const run = steps[name];
  step = name;
  const result = { name };
  try {
    await run();
    await page.waitForLoadState('networkidle', { timeout: 5_000 }).catch(() => {});
  } catch (e) {
    result.error = String(e);
  }
  await page.screenshot({ path: `${settings.shots}/${name}.png` });
  out.steps.push(result);
}
await browser.close();
console.log(JSON.stringify(out));
