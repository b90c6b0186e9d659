// What a tracker may send: reads a body in one of its three forms into events of one site, and checks each event by itself.
import * as z from 'zod/mini';
import { KernelError } from './errors.ts';

export const events_max = 500;
export const event_bytes_max = 32 * 1024;
export const event_depth_max = 32;
export const event_id_length_max = 128;
export const url_length_max = 4096;
export const referrer_length_max = 2048;
export const event_age_max_ms = 60 * 24 * 60 * 60 * 1000;

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

/** An event that passed: its payload as it will be stored, and the id that its client gave it. */
export interface TrackedEvent {
  id: string | undefined;
  payload: JsonObject;
}

/** A body read, before its events are checked one by one. */
export interface Submission {
  site: string;
  form: 'single' | 'events' | 'compact';
  events: JsonObject[];
  /** The body around the events, of the compact form. */
  envelope?: JsonObject;
}

/**
 * Reads a request body.
 * @throws KernelError when nothing in the body can be judged by itself: not JSON, no site, too many events, ids missing.
 */
export function readSubmission(body: string, idempotencyKey: string | undefined): Submission {
  const json = parseJson(body);
  if (!isObject(json)) throw new KernelError('payload_not_object', 'The body is not a JSON object.');
  const submission = readForm(json);
  const { events } = submission;
  if (events.length === 0) throw new KernelError('events_empty', 'The body holds no event.');
  if (events.length > events_max) {
    throw new KernelError(
      'events_too_many',
      `The body holds ${events.length} events; at most ${events_max} are allowed.`,
    );
  }
  if (events.length > 1 && events.some((event) => event.i === undefined || event.i === null)) {
    throw new KernelError(
      'event_id_required',
      'Each event of a body with more than one needs an id in the field i.',
    );
  }
  if (events.length === 1 && idempotencyKey !== undefined && (events[0]?.i ?? null) === null)
    events[0] = { ...events[0], i: idempotencyKey };
  return submission;
}

function readForm(json: JsonObject): Submission {
  if (Array.isArray(json.e)) {
    return { site: siteOf(json), form: 'compact', events: json.e.map(objectOrThrow), envelope: json };
  }
  if (Array.isArray(json.events)) {
    const events = json.events.map(objectOrThrow);
    const sites = new Set(events.map(siteOf));
    if (sites.size > 1) throw new KernelError('site_mismatch', 'All events of a body name the same site.');
    return { site: [...sites][0] ?? '', form: 'events', events };
  }
  return { site: siteOf(json), form: 'single', events: [json] };
}

function objectOrThrow(value: Json): JsonObject {
  if (!isObject(value)) throw new KernelError('payload_not_object', 'Each event is a JSON object.');
  return value;
}

function siteOf(json: JsonObject): string {
  if (typeof json.s === 'string' && json.s.trim() !== '') return json.s.trim();
  throw new KernelError('missing_site_or_url', 'The field s (site) is missing.');
}

const text = z.nullish(z.union([z.string(), z.number(), z.boolean()]));
export const fields = z.looseObject({
  url: text,
  u: text,
  sid: text,
  sm: text,
  ec: text,
  ea: text,
  el: text,
  ev: text,
  r: text,
});

/**
 * Checks one event and brings it into its stored form; fields that are not known are kept.
 * @param sentByItsClock when a clock that is years behind makes an event of this minute look old, this tells its age.
 * @throws KernelError with the reason; the other events of the body go on.
 */
export function checkEvent(event: JsonObject, now: Date, sentByItsClock?: Date): TrackedEvent {
  checkShape(event);
  const parsed = fields.safeParse(event);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new KernelError('event_invalid', `The field ${issue?.path.join('.')} is not of its type.`);
  }
  const { url, u, r } = parsed.data;
  const { t } = event;
  const address = String(url ?? u ?? '').trim();
  if (address === '') throw new KernelError('missing_site_or_url', 'The field url is missing.');
  const read = Math.min(now.getTime(), sentByItsClock?.getTime() ?? Number.POSITIVE_INFINITY);
  if (typeof t === 'number' && read - t > event_age_max_ms) {
    throw new KernelError('event_too_old', "The event's own time t is more than 60 days past.");
  }
  const { s: _site, u: _url, st: _sent, meta, ...rest } = event;
  const payload: JsonObject = { ...rest, url: cut(address, url_length_max) };
  if (isObject(meta)) payload.meta = meta;
  if (r !== undefined && r !== null) payload.r = cut(String(r), referrer_length_max);
  return { id: checkId(event.i), payload };
}

/** Well-formed text stays well-formed: half a surrogate pair is not left at the end. */
function cut(value: string, length_max: number): string {
  const start = value.slice(0, length_max);
  return start.isWellFormed() ? start : start.slice(0, -1);
}

function checkId(id: Json | undefined): string | undefined {
  if (id === undefined || id === null) return undefined;
  if (
    typeof id !== 'string' ||
    id.length > event_id_length_max ||
    !/^[\x20-\x7e]*[\x21-\x7e][\x20-\x7e]*$/.test(id)
  ) {
    throw new KernelError(
      'event_id_invalid',
      `An event id is 1 to ${event_id_length_max} printable ASCII characters.`,
    );
  }
  return id;
}

/** Depth, text that Postgres cannot store, and size; depth first and without recursion, for JSON.stringify recurses. */
function checkShape(event: JsonObject): void {
  let level: Json[] = [event];
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > event_depth_max)
      throw new KernelError('event_too_deep', `An event nests at most ${event_depth_max} levels.`);
    const next: Json[] = [];
    for (const value of level) {
      for (const [key, inner] of Object.entries(value as JsonObject)) {
        checkText(key);
        if (typeof inner === 'string') checkText(inner);
        else if (typeof inner === 'number') checkNumber(inner);
        else if (inner !== null && typeof inner === 'object') next.push(inner);
      }
    }
    level = next;
  }
  if (Buffer.byteLength(JSON.stringify(event)) > event_bytes_max) {
    throw new KernelError('event_too_large', `An event is at most ${event_bytes_max / 1024} KiB.`);
  }
}

function checkText(value: string): void {
  if (value.includes('\u0000') || !value.isWellFormed()) {
    throw new KernelError('text_invalid', 'The text holds U+0000 or half a surrogate pair.');
  }
}

function checkNumber(value: number): void {
  if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value))) {
    throw new KernelError(
      'number_not_exact',
      'A number is too large to be kept exactly: send it as a string.',
    );
  }
}

function parseJson(body: string): Json {
  try {
    return JSON.parse(body) as Json;
  } catch {
    throw new KernelError('invalid_json', 'invalid_json');
  }
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
