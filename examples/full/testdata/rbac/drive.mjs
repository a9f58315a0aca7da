// Works with the user interface of roles in a browser: node drive.mjs FOLDER SETTINGS
//
// FOLDER is the npm project with playwright-core, esbuild and the frontend's packages;
// SETTINGS is JSON: {chromium, page, app, backend, user, token}. What happened is printed as
// JSON, for the test to judge.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const [folder, text] = process.argv.slice(2);
const settings = JSON.parse(text);
const require = createRequire(`${folder}/package.json`);
const esbuild = require('esbuild');
const { chromium } = require('playwright-core');

const files = Object.fromEntries(['svg', 'png', 'gif', 'woff', 'woff2', 'ttf', 'eot'].map(e => [`.${e}`, 'dataurl']));
const { outputFiles } = await esbuild.build({
  entryPoints: [settings.page], nodePaths: [`${folder}/node_modules`], bundle: true, write: false, format: 'iife', platform: 'browser',
  define: { 'process.env.NODE_ENV': '"production"', global: 'window' }, loader: files, logLevel: 'error',
});
const html = `<!DOCTYPE html><meta charset="utf-8"><title>Portal</title><body><div id="root"></div><script>
window.settings = ${JSON.stringify({ backend: settings.backend, user: settings.user, token: settings.token })};
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
const requests = [], errors = [], steps = {};
const page = await (await browser.newContext({ viewport: { width: 1600, height: 1400 } })).newPage();
page.setDefaultTimeout(120_000);
page.on('pageerror', e => errors.push(String(e)));
page.on('response', r => {
  const url = new URL(r.url());
  if (url.pathname.startsWith('/api/permission/') && r.request().method() !== 'OPTIONS' && url.pathname !== '/api/permission/authorize') {
    requests.push({ method: r.request().method(), path: url.pathname + url.search, status: r.status(), body: r.request().postDataJSON() ?? undefined });
  }
});

const button = name => page.getByRole('button', { name, exact: true });
const choose = async (label, option) => {
  await page.getByLabel(label).click();
  await page.getByRole('option', { name: option }).first().click();
  await page.keyboard.press('Escape');
};

try {
  // The list.
  await page.goto(`${settings.app}/rbac`);
  await page.getByText('role:default/rbac_admin').waitFor();
  steps.list = true;

  // A role with a user and a group, rules, and a condition.
  await page.getByText('Create', { exact: true }).click();
  await page.locator('input[name=name]').fill('made-in-browser');
  await page.locator('input[name=description], textarea[name=description]').first().fill('What the test makes');
  await button('Next').locator('visible=true').click();
  await choose('Select users and groups', /bob/i);
  await choose('Select users and groups', /payments/i);
  await button('Next').locator('visible=true').click();
  await choose('Select plugins', 'Catalog');
  await page.getByTestId('expand-row-catalog').click();
  const rules = page.getByTestId('nested-row-catalog');
  await rules.getByRole('row').filter({ hasText: 'catalog.entity.create' }).getByRole('checkbox').first().check();
  await rules.getByRole('row').filter({ hasText: 'catalog.location.create' }).getByRole('checkbox').first().check();
  await rules.getByRole('row').filter({ hasText: 'catalog.entity.read' }).getByRole('checkbox').first().check();
  await rules.getByRole('row').filter({ hasText: 'catalog.entity.read' }).getByLabel('remove').click();
  await page.getByLabel('Rule').click();
  await page.getByRole('option', { name: /IS_ENTITY_KIND/ }).click();
  await page.getByLabel('kinds').fill('Component, API');
  await button('Save').click();
  await button('Next').locator('visible=true').click();
  await button('Create').click();
  await page.getByText('role:default/made-in-browser').first().waitFor();
  steps.created = true;

  // What the interface shows of it.
  await page.getByRole('link', { name: 'role:default/made-in-browser' }).first().click();
  await page.getByText('Permission Policies (', { exact: false }).waitFor();
  await page.getByText('Users and groups (', { exact: false }).waitFor();
  steps.shown = await page.locator('main').innerText();

  // Another name and member; rules and the condition are changed.
  await page.goto(`${settings.app}/rbac/role/role/default/made-in-browser`);
  await page.locator('input[name=name]').fill('renamed-in-browser');
  await button('Next').locator('visible=true').click();
  await choose('Select users and groups', /carol/i);
  await button('Next').locator('visible=true').click();
  await page.getByTestId('expand-row-catalog').click();
  await rules.getByRole('row').filter({ hasText: 'catalog.location.create' }).getByRole('checkbox').first().uncheck();
  await rules.getByRole('row').filter({ hasText: 'catalog.location.analyze' }).getByRole('checkbox').first().check();
  await rules.getByRole('row').filter({ hasText: 'catalog.entity.read' }).getByLabel('remove').click();
  await page.getByLabel('kinds').fill('System');
  await button('Save').click();
  await button('Next').locator('visible=true').click();
  await button('Save').click();
  await page.getByText('role:default/renamed-in-browser').first().waitFor();
  steps.edited = true;

  // The end of it.
  await page.goto(`${settings.app}/rbac`);
  const row = page.getByRole('row').filter({ hasText: 'role:default/renamed-in-browser' });
  await row.getByLabel('Delete').click();
  await page.getByLabel('Role name').fill('role:default/renamed-in-browser');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await page.getByText('All roles (1)').waitFor();
  steps.deleted = await page.locator('main').innerText();
} catch (error) {
  errors.push(`${error}; the page says: ${await page.locator('body').innerText()}`);
} finally {
  await browser.close();
  app.close();
}
console.log(JSON.stringify({ steps, requests, errors }));
