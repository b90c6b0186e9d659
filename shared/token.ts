// Who a bearer token speaks for: a JWT of the stage's issuer, verified by signature, issuer, expiry and client.
import { JwtVerifier } from 'aws-jwt-verify';
import { SimpleJwksCache } from 'aws-jwt-verify/jwk';
import { KernelError } from './errors.ts';

const jwks_timeout_ms = 3_000;
export const platform_admin_group = 'platform-admin';
export const finance_group = 'finance';
export const service_group = 'service';

export interface Identity {
  /** Subject of the token; a UUID. */
  subject: string;
  groups: string[];
}

export type TokenVerifier = (authorization: string | undefined) => Promise<Identity>;

/** Verifies access tokens of an issuer; keys are fetched once and kept. */
export function tokenVerifier(issuer: string, clientId: string): TokenVerifier {
  const verifier = JwtVerifier.create(
    {
      issuer,
      audience: null, // an access token of Cognito names its client in client_id
      jwksUri: `${issuer}/.well-known/jwks.json`,
      customJwtCheck: ({ payload }) => {
        if (payload.client_id !== clientId || payload.token_use !== 'access')
          throw new Error('not an access token of this client');
        if (payload.exp === undefined) throw new Error('a token that never ends'); // the library would take it
      },
    },
    { jwksCache: new SimpleJwksCache({ fetcher: { fetch: fetchJwks } }) },
  );
  return async (authorization) => {
    const token = /^Bearer (.+)$/i.exec(authorization ?? '')?.[1];
    if (!token) throw new KernelError('not_authenticated', 'A bearer token is required.');
    const payload = await verifier.verify(token).catch((cause: unknown) => {
      throw new KernelError('not_authenticated', 'The bearer token is not valid.', { cause });
    });
    const groups = payload['cognito:groups'];
    return { subject: payload.sub ?? '', groups: Array.isArray(groups) ? groups.map(String) : [] };
  };
}

export function isPlatformAdmin({ groups }: Identity): boolean {
  return groups.includes(platform_admin_group);
}

/** @throws KernelError `forbidden` unless the identity is a platform admin. */
export function requirePlatformAdmin(identity: Identity): void {
  if (!isPlatformAdmin(identity))
    throw new KernelError('forbidden', 'This needs the role of a platform admin.');
}

/** @throws KernelError `forbidden` unless the identity is of finance or a platform admin. */
export function requireFinance(identity: Identity): void {
  if (!identity.groups.includes(finance_group) && !isPlatformAdmin(identity))
    throw new KernelError('forbidden', 'This needs the role of finance.');
}

/**
 * The tenant whose money the identity may work with: of the group `finance` the tenant default, of `finance:NAME` that one; a
 * platform admin names any.
 * @throws KernelError `forbidden` for everybody else, and for another tenant than one's own.
 */
export function staffTenant(identity: Identity, asked: string | undefined): string {
  if (asked !== undefined && !/^[A-Za-z0-9_.:-]{1,64}$/.test(asked))
    throw new KernelError('invalid_request', 'The parameter tenant_id is not the name of a tenant.');
  if (isPlatformAdmin(identity)) return asked ?? 'default';
  const tenants = identity.groups
    .filter((group) => group === finance_group || group.startsWith(`${finance_group}:`))
    .map((group) => group.slice(finance_group.length + 1) || 'default');
  const tenant = asked === undefined ? tenants[0] : tenants.find((one) => one === asked);
  if (tenant === undefined)
    throw new KernelError('forbidden', 'This needs the role of finance at the tenant.');
  return tenant;
}

/** @throws KernelError `forbidden` unless the identity is a service of ours or a platform admin. */
export function requireService(identity: Identity): void {
  if (!identity.groups.includes(service_group) && !isPlatformAdmin(identity))
    throw new KernelError('forbidden', 'This needs the role of a service.');
}

async function fetchJwks(uri: string): Promise<ArrayBuffer> {
  const response = await fetch(uri, { signal: AbortSignal.timeout(jwks_timeout_ms) });
  if (!response.ok) throw new Error(`The issuer answered ${response.status}.`);
  return response.arrayBuffer();
}
