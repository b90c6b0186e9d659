// Sign-in at the embedded issuer: a code for a demo user, bound by PKCE to who asked, good once, for the console only.
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CLIENT_ID, type DemoUser, demoUsers, type Issuer, startIssuer } from '../../local/issuer.ts';
import { tokenVerifier } from '../../shared/token.ts';

const redirect_uri = 'http://127.0.0.1:3000/console/signed-in';
const verifier = randomBytes(32).toString('base64url');
const code_challenge = createHash('sha256').update(verifier).digest('base64url');
const fay = demoUsers.find(({ name }) => name === 'Fay Finance') as DemoUser;
const asked = {
  response_type: 'code',
  client_id: CLIENT_ID,
  redirect_uri,
  state: 'state & <1>',
  nonce: 'nonce-1',
  code_challenge,
  code_challenge_method: 'S256',
};

let issuer: Issuer;
beforeAll(async () => {
  issuer = await startIssuer(undefined);
});
afterAll(() => issuer.close());

const ask = (parameters: Record<string, string | undefined>) => {
  const url = new URL(issuer.authorization_endpoint);
  for (const [name, value] of Object.entries(parameters))
    if (value !== undefined) url.searchParams.set(name, value);
  return fetch(url, { redirect: 'manual' });
};
const codeFor = async (user: DemoUser, parameters = {}) => {
  const answer = await ask({ ...asked, login_hint: user.id, ...parameters });
  return new URL(answer.headers.get('location') ?? '').searchParams.get('code') ?? '';
};
const redeem = async (parameters: Record<string, string>) => {
  const answer = await fetch(issuer.token_endpoint, {
    method: 'POST',
    headers: { origin: 'http://127.0.0.1:3000' },
    body: new URLSearchParams({
      ...{ grant_type: 'authorization_code', client_id: CLIENT_ID, redirect_uri, code_verifier: verifier },
      ...parameters,
    }),
  });
  return {
    status: answer.status,
    headers: answer.headers,
    body: (await answer.json()) as Record<string, string>,
  };
};
const claims = (token = '') =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>;

test('the chooser offers every demo user with role by a link, and runs no script', async () => {
  const page = await ask(asked);
  const html = await page.text();
  expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
  expect(html).not.toContain('<script');
  const links = [...html.matchAll(/href="(\/oauth2[^"]+)"/g)].map(([, href]) =>
    (href ?? '').replace(/&#(\d+);/g, (_, code) => String.fromCharCode(code)),
  );
  expect(links.length).toBe(demoUsers.length);
  for (const { name, role } of demoUsers)
    expect(html).toContain(`<strong>${name}</strong> <span>${role}</span>`);
  const chosen = await fetch(`${issuer.url}${links[6]}`, { redirect: 'manual' });
  const back = new URL(chosen.headers.get('location') ?? '');
  expect([back.origin + back.pathname, back.searchParams.get('state')]).toEqual([redirect_uri, asked.state]);
  const { body } = await redeem({ code: back.searchParams.get('code') ?? '' });
  expect(claims(body.access_token).username).toBe(demoUsers[6]?.name);
});

test('the code gives the access token that a tool would get, which the kernel takes, and an id token with the nonce', async () => {
  const { status, headers, body } = await redeem({ code: await codeFor(fay) });
  expect([status, headers.get('cache-control'), body.token_type]).toEqual([200, 'no-store', 'Bearer']);
  expect(headers.get('access-control-allow-origin')).toBe('*');
  const { iat: _, exp: __, nbf: ___, ...given } = claims(body.access_token);
  const { iat: ____, exp: _____, nbf: ______, ...tool } = claims(await issuer.token(fay));
  expect(given).toEqual(tool);
  expect(given).toMatchObject({ sub: fay.id, token_use: 'access', 'cognito:groups': ['finance'] });
  const verify = tokenVerifier(issuer.url, CLIENT_ID);
  expect(await verify(`Bearer ${body.access_token}`)).toEqual({ subject: fay.id, groups: ['finance'] });
  expect(claims(body.id_token)).toMatchObject({
    sub: fay.id,
    aud: CLIENT_ID,
    nonce: asked.nonce,
    iss: issuer.url,
  });
  await expect(verify(`Bearer ${body.id_token}`)).rejects.toThrow('not valid');
});

test('a code is good once, for the client, address and verifier that it was given to', async () => {
  const code = await codeFor(fay);
  expect((await redeem({ code })).status).toBe(200);
  expect((await redeem({ code })).body.error).toBe('invalid_grant');
  const wrong: Record<string, string>[] = [
    { code_verifier: `${verifier}x` },
    { code_verifier: '' },
    { client_id: 'another' },
    { redirect_uri: 'http://127.0.0.1:3001/console/signed-in' },
  ];
  for (const one of wrong) {
    const fresh = await codeFor(fay);
    expect([one, (await redeem({ code: fresh, ...one })).body.error]).toEqual([one, 'invalid_grant']);
    expect((await redeem({ code: fresh })).status).toBe(400); // a failed try uses it up
  }
  expect((await redeem({ code: 'guessed' })).body.error).toBe('invalid_grant');
  expect((await redeem({ code: await codeFor(fay), grant_type: 'password' })).body.error).toBe(
    'unsupported_grant_type',
  );
});

test('nothing is sent to an address that is not the console of this machine', async () => {
  for (const uri of [
    undefined,
    'https://evil.example/console/signed-in',
    'http://127.0.0.1:3000/console/signed-in/x',
    'http://127.0.0.1:3000/other',
    'http://127.0.0.1.evil.example/console/signed-in',
    'http://127.0.0.1:3000@evil.example/console/signed-in',
    'http://127.0.0.1:3000/console/signed-in?x=1',
  ]) {
    const answer = await ask({ ...asked, redirect_uri: uri, login_hint: fay.id });
    expect([uri, answer.status, answer.headers.get('location')]).toEqual([uri, 400, null]);
  }
  expect((await ask({ ...asked, client_id: 'another', login_hint: fay.id })).status).toBe(400);
});

test('without a challenge by S256, or for anything but a code, the console is told so and gets none', async () => {
  const wrong: [Record<string, string | undefined>, string][] = [
    [{ code_challenge: undefined }, 'invalid_request'],
    [{ code_challenge: 'short' }, 'invalid_request'],
    [{ code_challenge_method: 'plain' }, 'invalid_request'],
    [{ code_challenge_method: undefined }, 'invalid_request'],
    [{ response_type: 'token' }, 'unsupported_response_type'],
  ];
  for (const [parameters, error] of wrong) {
    const answer = await ask({ ...asked, ...parameters, login_hint: fay.id });
    const back = new URL(answer.headers.get('location') ?? '').searchParams;
    expect([back.get('error'), back.get('code'), back.get('state')]).toEqual([error, null, asked.state]);
  }
});

test('the discovery document names these endpoints, and no other endpoint gives a token that the kernel takes', async () => {
  const found = await fetch(`${issuer.url}/.well-known/openid-configuration`);
  expect(await found.json()).toMatchObject({
    issuer: issuer.url,
    authorization_endpoint: issuer.authorization_endpoint,
    token_endpoint: issuer.token_endpoint,
  });
  const other = await fetch(`${issuer.url}/unused/token`, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'password', username: fay.id, client_id: CLIENT_ID }),
  });
  const { access_token } = (await other.json()) as { access_token: string };
  await expect(tokenVerifier(issuer.url, CLIENT_ID)(`Bearer ${access_token}`)).rejects.toThrow('not valid');
});
