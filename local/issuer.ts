// An OpenID Connect issuer in the place of Cognito, with a demo user of each role.
//
// Not reproduced: sign-up, passwords, MFA, the hosted pages of Cognito (anybody signs in as any demo user), token revocation,
// and the pool's own API.
import { Events, type MutableResponse, OAuth2Server } from 'oauth2-mock-server';
import { authorize_path, offerSignIn, token_path } from './sign-in.ts';

const token_life_s = 30 * 24 * 60 * 60;
export const CLIENT_ID = 'local-client';
/** The library's own endpoints take any client and any address: they are out of the way, and no token of theirs is of our client. */
const unused = { authorize: '/unused/authorize', token: '/unused/token' };

export interface DemoUser {
  name: string;
  role: string;
  /** The token's `sub`, which sites.user_id and site_members hold. */
  id: string;
  groups: string[];
}

/** The same users in every stack, so that their rows survive a restart. */
export const demoUsers: DemoUser[] = [
  user(1, 'Olive Owner', 'owner'),
  user(2, 'Adam Admin', 'admin'),
  user(3, 'Bill Billing', 'billing'),
  user(4, 'Ana Analyst', 'analyst'),
  user(5, 'Otto Operator', 'operator'),
  user(6, 'Pia Player', 'player'),
  user(7, 'Fay Finance', 'finance', ['finance']),
  user(8, 'Finn Finance', 'finance', ['finance']),
  user(9, 'Pat Platform', 'platform-admin', ['platform-admin']),
  user(10, 'Sam Service', 'service', ['service']),
];

export interface Issuer {
  url: string;
  authorization_endpoint: string;
  token_endpoint: string;
  /** An access token as Cognito shapes it. */
  token(user: DemoUser): Promise<string>;
  /** The signing key, to be kept so that tokens outlive a restart. */
  key: Record<string, unknown>;
  close(): Promise<void>;
}

export async function startIssuer(key: Record<string, unknown> | undefined, port = 0): Promise<Issuer> {
  const server = new OAuth2Server(undefined, undefined, {
    endpoints: { jwks: '/.well-known/jwks.json', ...unused },
  });
  if (key) await server.issuer.keys.add(key);
  else await server.issuer.keys.generate('RS256');
  await server.start(port, '127.0.0.1');
  const url = `http://127.0.0.1:${server.address().port}`;
  server.issuer.url = url;
  const [signingKey] = server.issuer.keys.toJSON(true);
  const endpoints = { authorization_endpoint: url + authorize_path, token_endpoint: url + token_path };
  server.service.on(Events.BeforeWellKnownOpenIdConfiguration, ({ body }: MutableResponse) => {
    Object.assign(body as object, endpoints, { grant_types_supported: ['authorization_code'] });
  });
  const sign = (claims: Record<string, unknown>) =>
    server.issuer.buildToken({
      expiresIn: token_life_s,
      scopesOrTransform: (_header, payload) => void Object.assign(payload, claims),
    });
  const token = ({ id, name, groups }: DemoUser) =>
    sign({ sub: id, username: name, client_id: CLIENT_ID, token_use: 'access', 'cognito:groups': groups });
  offerSignIn(server.service, demoUsers, {
    access: token,
    id: ({ id, name }, nonce) =>
      sign({ sub: id, aud: CLIENT_ID, token_use: 'id', 'cognito:username': name, ...(nonce && { nonce }) }),
    life_s: token_life_s,
  });
  return {
    ...{ url, ...endpoints, token },
    key: signingKey as unknown as Record<string, unknown>,
    close: () => server.stop(),
  };
}

function user(number: number, name: string, role: string, groups: string[] = []): DemoUser {
  return { name, role, groups, id: `0d000000-0000-4000-8000-${String(number).padStart(12, '0')}` };
}
