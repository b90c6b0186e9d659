// The key under which an event counts once: v1 and v2 from its content and the server's time, v3 from the id its client gave it.
import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import type { Json, JsonObject, TrackedEvent } from './event.ts';
import type { IngestSite } from './site.ts';

const v1_bucket_ms = 5_000;
const client_time_tolerance_ms = 5 * 60 * 1000;
/** Fields that say how an event travelled, not what happened: a retry may change them. */
const transport_fields = new Set(['i', 's', 'st', 'skew_ms']);

/** What `ingest` in migrations/ takes of an event; bytes in hex. */
export interface KeyedEvent {
  key: string;
  /** The key of the bucket before, a duplicate only while its row is younger than the bucket. */
  previous?: string;
  bucket_ms?: number;
  version: 1 | 2 | 3;
  hash?: string;
  payload: JsonObject;
}

/** Keys an event of the site at the server's time. */
export function keyEvent(site: IngestSite, { id, payload }: TrackedEvent, now: Date): KeyedEvent {
  if (id !== undefined) {
    const key = sha256(`${site.id}:${id}`).subarray(0, 16).toString('hex');
    return { key, version: 3, hash: payloadHash(payload), payload };
  }
  const month = now.toISOString().slice(0, 7);
  const switched = site.next_key_month !== null && month >= site.next_key_month;
  const version = switched ? site.next_key_version : site.key_version;
  if (version === 2) return keyV2(site, payload, now, switched && month === site.next_key_month);
  const bucket = floor(now.getTime(), v1_bucket_ms);
  return {
    key: v1Key(site.id, payload, bucket),
    previous: v1Key(site.id, payload, bucket - v1_bucket_ms),
    bucket_ms: v1_bucket_ms,
    version: 1,
    payload,
  };
}

function keyV2(site: IngestSite, payload: JsonObject, now: Date, firstMonth: boolean): KeyedEvent {
  const { bucket_ms, time_ms } = v2Time(payload, now.getTime());
  if (bucket_ms === 0) return { key: v2Key(site.id, payload, time_ms), version: 2, payload };
  const key = v2Key(site.id, payload, floor(time_ms, bucket_ms));
  const monthStart = Date.UTC(now.getUTCFullYear(), now.getUTCMonth());
  if (firstMonth && now.getTime() - monthStart < v1_bucket_ms) {
    // The version has just switched: a retry of the last moment may lie under its v1 key.
    return {
      key,
      previous: v1Key(site.id, payload, monthStart - v1_bucket_ms),
      bucket_ms: v1_bucket_ms,
      version: 2,
      payload,
    };
  }
  return {
    key,
    previous: v2Key(site.id, payload, floor(time_ms, bucket_ms) - bucket_ms),
    bucket_ms,
    version: 2,
    payload,
  };
}

/** The time that goes into a v2 key: clicks exact, heartbeats and page views by a credible client time, others by the server's. */
export function v2Time(payload: JsonObject, now_ms: number): { bucket_ms: number; time_ms: number } {
  const { ec, ea } = payload;
  if (ea === 'heartbeat') return { bucket_ms: 10_000, time_ms: clientTime(payload, now_ms) ?? now_ms };
  if (ec === 'page' || ea === 'page_view')
    return { bucket_ms: 2_000, time_ms: clientTime(payload, now_ms) ?? now_ms };
  if (ea === 'click' || ec === 'click' || ea === 'call_intent') return { bucket_ms: 0, time_ms: now_ms };
  return { bucket_ms: 2_000, time_ms: now_ms };
}

function clientTime(payload: JsonObject, now_ms: number): number | undefined {
  const meta = payload.meta as JsonObject | undefined;
  const numeric = [payload.ts, payload.timestamp, payload.created_at, meta?.ts].find(
    (value) => typeof value === 'number',
  );
  const found = numeric ?? textTime(payload);
  if (typeof found !== 'number' || !Number.isFinite(found)) return undefined;
  const time_ms = found < 1e12 ? found * 1000 : found;
  return Math.abs(time_ms - now_ms) <= client_time_tolerance_ms ? time_ms : undefined;
}

function textTime({ ts, timestamp, created_at }: JsonObject): number | undefined {
  if (typeof ts === 'string') return Number.parseFloat(ts);
  const iso = [timestamp, created_at].find((value) => typeof value === 'string');
  return typeof iso === 'string' ? Date.parse(iso) : undefined;
}

function v1Key(site: string, payload: JsonObject, time_ms: number): string {
  return sha256(keyInput(site, payload, time_ms)).toString('hex');
}

function v2Key(site: string, payload: JsonObject, time_ms: number): string {
  return `02${sha256(keyInput(site, payload, time_ms)).toString('hex')}`;
}

/** The frozen input of v1 and v2: `site : category|action|label : url : fingerprint or session : time`. */
export function keyInput(site: string, payload: JsonObject, time_ms: number): string {
  const { ec, ea, el, url, sid } = payload;
  const meta = payload.meta as JsonObject | undefined;
  const visitor = string(meta?.fp) || string(sid);
  return [site, `${string(ec)}|${string(ea)}|${string(el)}`, string(url), visitor, time_ms].join(':');
}

/** SHA-256 of the RFC 8785 form of what happened; in hex. */
export function payloadHash(payload: JsonObject): string {
  const content = Object.fromEntries(Object.entries(payload).filter(([name]) => !transport_fields.has(name)));
  return sha256(canonicalize(content) ?? '').toString('hex');
}

/** A fingerprint that is no primitive goes in as RFC 8785: String() would throw on some objects and make all others equal. */
function string(value: Json | undefined): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'object' ? (canonicalize(value) ?? '') : String(value);
}

function floor(time_ms: number, bucket_ms: number): number {
  return Math.floor(time_ms / bucket_ms) * bucket_ms;
}

function sha256(input: string): Buffer {
  return createHash('sha256').update(input, 'utf8').digest();
}
