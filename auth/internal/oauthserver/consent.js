(() => {
  'use strict';
  const id = document.body.dataset.id;
  if (!id) return;
  const signIns = JSON.parse(document.body.dataset.signIns) || [];
  const base = new URL('../../', location.href).href; // of the auth plugin
  const at = name => document.getElementById(name);
  const say = text => { at('status').textContent = text; };
  let token = '';

  const signedIn = session => {
    const identity = session && session.backstageIdentity;
    if (!identity || !identity.token) return false;
    token = identity.token;
    at('user').textContent = identity.identity.userEntityRef;
    at('signIns').replaceChildren();
    at('approve').disabled = at('reject').disabled = false;
    say('');
    return true;
  };

  const query = s => new URLSearchParams(s.env ? { env: s.env } : {});

  const refresh = async s => {
    const res = await fetch(base + encodeURIComponent(s.provider) + '/refresh?' + query(s),
      { headers: { 'X-Requested-With': 'XMLHttpRequest' }, credentials: 'same-origin' });
    return res.ok && signedIn(await res.json());
  };

  const popup = s => {
    const q = query(s);
    q.set('origin', location.origin);
    q.set('flow', 'popup');
    const win = window.open(base + encodeURIComponent(s.provider) + '/start?' + q, '_blank', 'width=450,height=730');
    if (!win) return say('The browser did not open the sign-in window.');
    const heard = e => {
      if (e.source !== win || e.origin !== location.origin || !e.data || e.data.type !== 'authorization_response') return;
      window.removeEventListener('message', heard);
      if (e.data.error) return say(e.data.error.message);
      if (!signedIn(e.data.response)) say('This sign-in does not say who you are in the portal.');
    };
    window.addEventListener('message', heard);
  };

  const decide = async what => {
    at('approve').disabled = at('reject').disabled = true;
    const res = await fetch(base + 'v1/sessions/' + encodeURIComponent(id) + '/' + what,
      { method: 'POST', headers: { Authorization: 'Bearer ' + token } });
    const answer = await res.json();
    if (!res.ok) return say(answer.error_description || answer.error);
    say(what === 'approve' ? 'Allowed. You can close this page when the program goes on.' : 'Rejected. You can close this page.');
    location.assign(answer.redirectUrl);
  };

  const failed = () => say('The portal did not answer. Load the page again.');
  at('approve').addEventListener('click', () => decide('approve').catch(failed));
  at('reject').addEventListener('click', () => decide('reject').catch(failed));

  (async () => {
    for (const s of signIns) {
      if (await refresh(s)) return;
    }
    at('user').textContent = 'not signed in';
    for (const s of signIns.filter(s => s.popup)) {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = 'Sign in with ' + s.provider;
      button.addEventListener('click', () => popup(s));
      at('signIns').append(button);
    }
    if (!at('signIns').children.length) say('Sign in to the portal first, and load this page again.');
  })().catch(failed);
})();
