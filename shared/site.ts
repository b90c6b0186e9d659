// A site as ingest knows it: who may post for it; cached for at most site_cache_ms, which bounds how long a revoked key works.
import { createHash, timingSafeEqual } from 'node:crypto';
import { KernelError } from './errors.ts';
import type { Clock, Database } from './ports.ts';

export const site_cache_ms = 30_000;
const sites_cached_max = 10_000;

export interface IngestSite {
  id: string;
  public_id: string;
  origins: string[];
  rate_limit: number | null;
  key_version: 1 | 2;
  next_key_version: 1 | 2 | null;
  next_key_month: string | null;
  /** SHA-256 of the API key that was asked for, in hex, when it is live; else null. */
  key_hash: string | null;
}

export type SiteLookup = (ref: string, apiKey: string | undefined) => Promise<IngestSite>;

/** Looks sites up by public id or UUID, together with an API key, through a cache. */
export function siteLookup(database: Database, clock: Clock): SiteLookup {
  const cache = new Map<string, { site: IngestSite; until: number }>();
  return async (ref, apiKey) => {
    const keyHash = apiKey === undefined ? null : apiKeyHash(apiKey);
    const cacheKey = `${ref} ${keyHash}`;
    const cached = cache.get(cacheKey);
    if (cached && cached.until > clock.now().getTime()) return cached.site;
    cache.delete(cacheKey);
    const site = await findSite(database, ref, keyHash);
    if (keyHash !== null && site.key_hash === null) return site; // not kept: a flood of wrong keys must not push out good entries
    if (cache.size >= sites_cached_max) cache.delete(cache.keys().next().value as string); // the oldest entry
    cache.set(cacheKey, { site, until: clock.now().getTime() + site_cache_ms });
    return site;
  };
}

async function findSite(database: Database, ref: string, keyHash: string | null): Promise<IngestSite> {
  if (!/^[\w-]{1,64}$/.test(ref)) throw new KernelError('site_not_found', 'Site not found or invalid');
  const [row] = await database.query<
    Omit<IngestSite, 'origins' | 'key_version' | 'rate_limit' | 'next_key_version'> & Record<string, string>
  >(
    `select id::text, public_id, array_to_json(origins)::text origins, rate_limit, key_version, next_key_version, next_key_month, key_hash
       from site_for_ingest(:ref, :key_hash)`,
    { ref, key_hash: keyHash },
  );
  if (!row?.id) throw new KernelError('site_not_found', 'Site not found or invalid');
  return {
    ...row,
    origins: JSON.parse(row.origins ?? '[]'),
    rate_limit: row.rate_limit === null ? null : Number(row.rate_limit),
    key_version: Number(row.key_version) as 1 | 2,
    next_key_version: row.next_key_version === null ? null : (Number(row.next_key_version) as 1 | 2),
  };
}

/** SHA-256 of an API key, in hex: keys are random, so a slow hash would add nothing. */
export function apiKeyHash(apiKey: string): string {
  return createHash('sha256').update(apiKey, 'utf8').digest('hex');
}

/**
 * Lets a request in by its API key or its Origin.
 * @throws KernelError `api_key_invalid` or `origin_not_allowed`.
 */
export function authorize(site: IngestSite, origin: string | undefined, apiKey: string | undefined): void {
  if (apiKey !== undefined) {
    const hash = Buffer.from(apiKeyHash(apiKey), 'hex');
    if (site.key_hash && timingSafeEqual(hash, Buffer.from(site.key_hash, 'hex'))) return;
    throw new KernelError('api_key_invalid', 'The API key is not a live key of this site.');
  }
  if (!site.origins.some((allowed) => matchesOrigin(allowed, origin))) {
    throw new KernelError('origin_not_allowed', 'Origin not allowed');
  }
}

/** Same host or a subdomain of it; scheme and port do not matter, and a name is never matched as a mere substring. */
export function matchesOrigin(allowed: string, origin: string | undefined): boolean {
  const actual = hostname(origin);
  const expected = hostname(allowed);
  return (
    actual !== undefined && expected !== undefined && (actual === expected || actual.endsWith(`.${expected}`))
  );
}

function hostname(origin: string | undefined): string | undefined {
  if (!origin || origin === 'null') return undefined;
  const url = origin.includes('://') ? origin : `https://${origin}`;
  return URL.canParse(url) ? new URL(url).hostname.toLowerCase() || undefined : undefined;
}
