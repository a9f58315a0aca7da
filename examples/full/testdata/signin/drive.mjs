// Signs in with a browser: node drive.mjs FOLDER SETTINGS
//
// FOLDER is the npm project with playwright-core, esbuild and the frontend's packages;
// SETTINGS is JSON: {chromium, page, app, backend, users: [[NAME, PASSWORD], ...]}. What happened is
// printed as JSON, for the test to judge.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const [folder, text] = process.argv.slice(2);
const settings = JSON.parse(text);
const require = createRequire(`${folder}/package.json`);
const esbuild = require('esbuild');
const { chromium } = require('playwright-core');

const { outputFiles } = await esbuild.build({
  entryPoints: [settings.page], nodePaths: [`${folder}/node_modules`], bundle: true, write: false, format: 'iife', platform: 'browser',
  define: { 'process.env.NODE_ENV': '"production"', global: 'window' }, logLevel: 'error',
});
const html = `<!DOCTYPE html><meta charset="utf-8"><title>Portal</title><body><script>
window.settings = ${JSON.stringify({ backend: settings.backend, redirect: settings.redirect })};
</script><script src="/page.js"></script></body>`;
const app = createServer((request, response) => {
  if (request.url === '/page.js') {
    response.setHeader('Content-Type', 'text/javascript');
    response.end(outputFiles[0].text);
  } else if (request.url === '/favicon.ico') {
    response.writeHead(204).end();
  } else {
    response.setHeader('Content-Type', 'text/html');
    response.end(html);
  }
});
const { hostname, port } = new URL(settings.app);
await new Promise(resolve => app.listen(Number(port), hostname, resolve));

const browser = await chromium.launch({
  executablePath: settings.chromium,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

// The forms of both OpenID providers.
const fillIn = async (popup, [name, password]) => {
  await popup.locator('input[name=username], input[name=login]').fill(name);
  await popup.locator('input[name=password]').fill(password);
  await popup.locator('button[type=submit], input[type=submit]').first().click();
  if (settings.consent) {
    await popup.getByRole('button', { name: 'Continue' }).click();
  }
};

const attempt = async user => {
  const context = await browser.newContext();
  const events = { console: [], errors: [], frames: [] };
  context.on('console', m => events.console.push({ type: m.type(), text: m.text(), url: m.location().url }));
  context.on('weberror', e => events.errors.push(String(e.error())));
  context.on('response', r => {
    if (r.url().includes('/handler/frame')) {
      events.frames.push({ status: r.status(), csp: r.headers()['content-security-policy'] });
    }
  });
  const page = await context.newPage();
  await page.goto(settings.app);
  const before = await page.evaluate(() => window.whoAmI());
  const opened = settings.redirect ? undefined : context.waitForEvent('page');
  await page.getByRole('button').click();
  const outcome = {};
  if (settings.redirect) {
    await fillIn(page, user);
    await page.waitForURL(`${settings.app}/**`);
  } else {
    const popup = await opened;
    const closed = popup.waitForEvent('close');
    await fillIn(popup, user).catch(error => events.errors.push(String(error)));
    Object.assign(outcome, await page.evaluate(() => window.outcome));
    await closed;
  }
  const address = page.url();
  await page.reload();
  const reloaded = await page.evaluate(() => window.whoAmI());
  const cookies = (await context.cookies(`${settings.backend}/api/auth/oidc/handler`)).map(({ name, httpOnly, sameSite, domain, path }) => ({ name, httpOnly, sameSite, domain, path }));
  const visible = await page.evaluate(() => document.cookie);
  if (reloaded) {
    const left = page.waitForResponse(r => r.url().includes('/logout'));
    await page.evaluate(() => { window.api.signOut(); });
    await left;
    await page.goto(settings.app);
  }
  const after = await page.evaluate(() => window.whoAmI());
  await context.close();
  return { before, ...outcome, address, reloaded, cookies, visible, after, ...events };
};

try {
  const results = {};
  for (const user of settings.users) {
    results[user[0]] = await attempt(user);
  }
  console.log(JSON.stringify(results));
} finally {
  await browser.close();
  app.close();
}
