// The page of the test: the auth API of the stock frontend for the provider oidc, and a
// button, since browsers open popups for clicks alone.
import { OAuth2, OAuthRequestManager, UrlPatternDiscovery } from '@backstage/core-app-api';
import { ConfigReader } from '@backstage/config';

const { backend, redirect } = window.settings;

window.api = OAuth2.create({
  configApi: new ConfigReader({ backend: { baseUrl: backend }, auth: { environment: 'production' }, enableExperimentalRedirectFlow: redirect }),
  discoveryApi: UrlPatternDiscovery.compile(`${backend}/api/{{ pluginId }}`),
  oauthRequestApi: new OAuthRequestManager(),
  environment: 'production',
  provider: { id: 'oidc', title: 'Acme', icon: () => null },
  defaultScopes: ['openid', 'profile', 'email', 'offline_access'],
});

const describe = async options => {
  const identity = await window.api.getBackstageIdentity(options);
  if (!identity) {
    return undefined;
  }
  const profile = await window.api.getProfile({ optional: true });
  return { user: identity.identity.userEntityRef, owns: identity.identity.ownershipEntityRefs, token: identity.token, email: profile?.email };
};

// Who is signed in already, as the sign-in page asks at its start.
window.whoAmI = () => describe({ optional: true });

const button = document.createElement('button');
button.textContent = 'Sign in';
button.onclick = () => {
  window.outcome = describe({ instantPopup: true }).then(
    session => ({ session }),
    error => ({ error: { name: error.name, message: error.message } }),
  );
};
document.body.append(button);
