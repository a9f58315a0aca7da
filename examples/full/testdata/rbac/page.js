// The page of the test: the stock user interface of roles in the stock frontend, for a user
// who is signed in already.
import React from 'react';
import { createRoot } from 'react-dom/client';
import { Route } from 'react-router-dom';
import { createApp } from '@backstage/app-defaults';
import { AppRouter, FlatRoutes } from '@backstage/core-app-api';
import { RbacPage } from '@backstage-community/plugin-rbac';

const { backend, user, token } = window.settings;

const identity = {
  getBackstageIdentity: async () => ({ type: 'user', userEntityRef: user, ownershipEntityRefs: [user] }),
  getCredentials: async () => ({ token }),
  getProfileInfo: async () => ({}),
  signOut: async () => {},
};

const SignedIn = ({ onSignInSuccess }) => {
  React.useEffect(() => onSignInSuccess(identity), [onSignInSuccess]);
  return null;
};

const app = createApp({
  configLoader: async () => [{
    context: 'test',
    data: { app: { title: 'Acme', baseUrl: window.location.origin }, backend: { baseUrl: backend }, permission: { enabled: true } },
  }],
  components: { SignInPage: SignedIn },
});

const e = React.createElement;
const App = app.createRoot(e(AppRouter, null, e(FlatRoutes, null, e(Route, { path: '/rbac', element: e(RbacPage) }))));
createRoot(document.getElementById('root')).render(e(App));
