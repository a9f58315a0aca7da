// Uses the portal as an assistant does, with the protocol's official client library: node mcp-client.mjs FOLDER SETTINGS
//
// FOLDER is the npm project with the library; SETTINGS is JSON: {server, portal, calls: [[TOOL, ARGUMENTS]]}. The
// library finds out where to sign in, registers, and hands out the address to which a browser would go; the user
// agrees by the routes of the consent page. What came of it is printed as JSON, for the test to judge.
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, text] = process.argv.slice(2);
const settings = JSON.parse(text);
const part = file => import(pathToFileURL(path.join(folder, 'node_modules/@modelcontextprotocol/sdk/dist/esm', file)));
const { Client } = await part('client/index.js');
const { StreamableHTTPClientTransport } = await part('client/streamableHttp.js');
const { UnauthorizedError } = await part('client/auth.js');

const callback = 'http://localhost:3999/callback';
const seen = { calls: {} };
const kept = {};
const provider = {
  redirectUrl: callback,
  clientMetadata: {
    client_name: 'An assistant', redirect_uris: [callback],
    grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], token_endpoint_auth_method: 'client_secret_post',
  },
  state: () => 'the-state',
  clientInformation: () => kept.client,
  saveClientInformation: client => { kept.client = client; },
  tokens: () => kept.tokens,
  saveTokens: tokens => { kept.tokens = tokens; },
  redirectToAuthorization: url => { kept.authorize = url; },
  saveCodeVerifier: verifier => { kept.verifier = verifier; },
  codeVerifier: () => kept.verifier,
};

const open = async () => {
  const client = new Client({ name: 'test', version: '1' });
  const transport = new StreamableHTTPClientTransport(new URL(settings.server), { authProvider: provider });
  return { client, transport };
};

// Without a token the library goes through the whole discovery, and asks for the user.
const first = await open();
try {
  await first.client.connect(first.transport);
} catch (error) {
  if (!(error instanceof UnauthorizedError)) throw error;
  seen.refused = true;
}
seen.authorize = { at: kept.authorize.origin + kept.authorize.pathname, scope: kept.authorize.searchParams.get('scope'), challenge: kept.authorize.searchParams.get('code_challenge_method') };

// The user agrees, as the page does it.
const asked = await fetch(kept.authorize, { redirect: 'manual' });
const id = new URL(asked.headers.get('location'), settings.portal).pathname.split('/').pop();
const signIn = await (await fetch(`${settings.portal}/api/auth/guest/refresh`, { headers: { 'X-Requested-With': 'XMLHttpRequest' } })).json();
const bearer = { Authorization: `Bearer ${signIn.backstageIdentity.token}` };
const question = await (await fetch(`${settings.portal}/api/auth/v1/sessions/${id}`, { headers: bearer })).json();
seen.asks = question.clientName;
const agreed = await (await fetch(`${settings.portal}/api/auth/v1/sessions/${id}/approve`, { method: 'POST', headers: bearer })).json();
await first.transport.finishAuth(new URL(agreed.redirectUrl).searchParams.get('code'));
seen.refreshable = Boolean(kept.tokens.refresh_token);

const { client, transport } = await open();
await client.connect(transport);
seen.server = client.getServerVersion();
seen.capabilities = client.getServerCapabilities();
seen.protocol = transport.protocolVersion;
seen.tools = (await client.listTools()).tools;
for (const [name, args] of settings.calls) {
  try {
    seen.calls[name] = await client.callTool({ name, arguments: args });
  } catch (error) {
    seen.calls[name] = { thrown: String(error) };
  }
}
await client.close();

// A token that has ended is renewed without the user, and the work goes on.
if (kept.tokens.refresh_token) {
  kept.tokens = { ...kept.tokens, access_token: 'ended' };
  const again = await open();
  await again.client.connect(again.transport);
  seen.renewed = (await again.client.listTools()).tools.length;
  await again.client.close();
}
console.log(JSON.stringify(seen));
