// Serves npm's oidc-provider: node panva.mjs FOLDER {"users": {NAME: CLAIMS}, "redirect": URL}
// The first line that it prints is its issuer. It ends when its standard input does.
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [folder, config] = process.argv.slice(2);
const { users, redirect } = JSON.parse(config);
const { Provider } = await import(pathToFileURL(`${folder}/node_modules/oidc-provider/lib/index.js`));

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'web', client_secret: 'secret', redirect_uris: [redirect],
      grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
    }],
    scopes: ['openid', 'offline_access', 'profile', 'email'],
    claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    features: { devInteractions: { enabled: true }, revocation: { enabled: true } },
    findAccount: (ctx, id) => users[id] && { accountId: id, claims: () => users[id] },
    cookies: { keys: ['test-only'] },
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
process.stdin.on('end', () => process.exit(0)).resume();
