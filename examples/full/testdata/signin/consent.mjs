// Answers the consent page with a browser: node consent.mjs FOLDER SETTINGS
//
// FOLDER is the npm project with playwright-core; SETTINGS is JSON: {chromium, authorize, callback, user:
// [NAME, PASSWORD]}. The user signs in through the page and agrees, then comes back and does not. What
// the browser saw is printed as JSON, for the test to judge.
import { createRequire } from 'node:module';

const [folder, text] = process.argv.slice(2);
const settings = JSON.parse(text);
const { chromium } = createRequire(`${folder}/package.json`)('playwright-core');

const browser = await chromium.launch({
  executablePath: settings.chromium,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  const context = await browser.newContext();
  const seen = { console: [], errors: [] };
  context.on('console', m => seen.console.push(`${m.type()}: ${m.text()} (${m.location().url})`));
  context.on('weberror', e => seen.errors.push(String(e.error())));
  const page = await context.newPage();

  await page.goto(settings.authorize);
  seen.client = await page.locator('#client').textContent();
  const opened = context.waitForEvent('page');
  await page.getByRole('button', { name: 'Sign in with oidc' }).click();
  seen.before = await page.locator('#approve').isEnabled();
  const popup = await opened;
  const closed = popup.waitForEvent('close');
  await popup.locator('input[name=username], input[name=login]').fill(settings.user[0]);
  await popup.locator('input[name=password]').fill(settings.user[1]);
  await popup.locator('button[type=submit], input[type=submit]').first().click();
  await closed;
  await page.locator('#approve:enabled').waitFor();
  seen.user = await page.locator('#user').textContent();
  await page.getByRole('button', { name: 'Allow' }).click();
  await page.waitForURL(`${settings.callback}**`);
  seen.agreed = page.url();

  await page.goto(settings.authorize); // the browser has a session by now
  await page.locator('#approve:enabled').waitFor();
  seen.known = await page.locator('#user').textContent();
  await page.getByRole('button', { name: 'Reject' }).click();
  await page.waitForURL(`${settings.callback}**`);
  seen.refused = page.url();
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
