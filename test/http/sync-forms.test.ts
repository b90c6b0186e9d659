// The forms in which an event may travel to POST /api/sync, what becomes of its fields, and how its id is given.
import { beforeAll, describe, expect, test } from 'vitest';
import { sharedStack } from '../support/shared-stack.ts';
import type { TestStack } from '../support/stack.ts';

const origin = 'https://example.com';

let stack: TestStack;
beforeAll(async () => {
  stack = await sharedStack();
});

async function payloads(site: string): Promise<unknown[]> {
  await stack.delivered();
  const { rows } = await stack.database.query('select payload from events where site_id = $1 order by id', [
    site,
  ]);
  return rows.map(({ payload }) => payload);
}

describe('the three forms', () => {
  const content = {
    ec: 'shop',
    ea: 'add',
    el: 'grinder',
    ev: 129.5,
    n: 'purchase',
    meta: { fp: 'f1', path: ['a', 1, null, true] },
  };

  test('carry one and the same event: the first is accepted, the others are duplicates', async () => {
    const site = await stack.site();
    const t = Date.now();
    const fields = { i: 'same', t, ...content };
    const single = { s: site.public_id, url: 'https://example.com/p', ...fields };
    const compact = { s: site.public_id, v: 1, st: t + 5, e: [{ u: 'https://example.com/p', ...fields }] };
    expect(await stack.sync(single)).toMatchObject({ status: 200, body: { status: 'queued' } });
    expect(await stack.sync({ events: [single] })).toMatchObject({
      status: 200,
      body: { status: 'duplicate' },
    });
    expect(await stack.sync(compact)).toMatchObject({ status: 200, body: { status: 'duplicate' } });
    expect(await payloads(site.id)).toEqual([{ url: 'https://example.com/p', ...fields }]);
  });

  test('of one event answer alike, and all but the single body add its result', async () => {
    const { public_id: s } = await stack.site();
    const one = (i: string) => ({ i, u: 'https://example.com/' });
    const single = await stack.sync({ s, ...one('1') });
    const wrapped = await stack.sync({ events: [{ s, ...one('2') }] });
    const compact = await stack.sync({ s, v: 1, e: [one('3')] });
    for (const { status, body } of [single, wrapped, compact]) {
      expect(status).toBe(200);
      expect(body).toMatchObject({ ok: true, status: 'queued', ingest_id: expect.any(String) });
    }
    expect(single.body.results).toBeUndefined();
    expect(wrapped.body.results).toEqual([{ id: '2', status: 'queued', ingest_id: wrapped.body.ingest_id }]);
    expect(compact.body.results).toEqual([{ id: '3', status: 'queued', ingest_id: compact.body.ingest_id }]);
  });

  test('hold up to 500 events', async () => {
    const { id, public_id: s } = await stack.site({ limit: 500 });
    const e = Array.from({ length: 500 }, (_, n) => ({ i: `e${n}`, u: 'https://example.com/' }));
    const { status, body, headers } = await stack.sync({ s, v: 1, e });
    expect({ status, word: body.status }).toEqual({ status: 200, word: 'queued' });
    expect(body.results).toHaveLength(500);
    expect(headers.get('x-opsmantik-quota-remaining')).toBe('0');
    expect(await payloads(id)).toHaveLength(500);
  });

  test('come as application/json, as text/plain, or without a type', async () => {
    const { public_id: s } = await stack.site();
    const body = JSON.stringify({ s, i: 'typed', url: 'https://example.com/ü' });
    const types = [
      'application/json',
      'application/json; charset=utf-8',
      'text/plain;charset=UTF-8',
      'text/plain',
    ];
    const answers = [];
    for (const type of types) answers.push(await stack.sync(body, { origin, 'content-type': type }));
    answers.push(await stack.sync(new TextEncoder().encode(body), { origin }));
    expect(answers.map((answer) => answer.body.status)).toEqual([
      'queued',
      'duplicate',
      'duplicate',
      'duplicate',
      'duplicate',
    ]);
  });
});

describe('the site', () => {
  test('is named by its public id, by its UUID, or by the UUID without hyphens', async () => {
    const { id, public_id } = await stack.site();
    const answers = [];
    for (const s of [public_id, ` ${public_id} `, id, id.replaceAll('-', ''), id.toUpperCase()])
      answers.push(await stack.sync({ s, i: 'same', url: 'https://example.com/' }));
    expect(answers.map(({ body }) => body.status)).toEqual([
      'queued',
      'duplicate',
      'duplicate',
      'duplicate',
      'duplicate',
    ]);
  });
});

describe('fields', () => {
  test('that nobody knows are kept; a meta that is no object is dropped; u stands for url', async () => {
    const { id, public_id: s } = await stack.site();
    const kept = { i: 'kept', custom: { deep: [1, 'two', null] }, 'with space': 0, tags: [] };
    expect((await stack.sync({ s, u: ' https://example.com/u ', meta: 'text', ...kept })).status).toBe(200);
    expect(await payloads(id)).toEqual([{ url: 'https://example.com/u', ...kept }]);
  });

  test('that are too long are cut, url at 4096 and r at 2048, never through a character', async () => {
    const { id, public_id: s } = await stack.site();
    const long = 'https://example.com/'.padEnd(4095, 'a');
    const events = [
      { s, i: 'ascii', url: `${long}bcd`, r: 'r'.repeat(3000) },
      { s, i: 'pair', url: `${long}😀`, r: `${'r'.repeat(2047)}😀` },
    ];
    expect(await stack.sync({ events })).toMatchObject({ status: 200, body: { status: 'queued' } });
    expect(await payloads(id)).toEqual([
      { i: 'ascii', url: `${long}b`, r: 'r'.repeat(2048) },
      { i: 'pair', url: long, r: 'r'.repeat(2047) },
    ]);
  });

  test('that say how the event travelled, s and st, do not make it another event', async () => {
    const { public_id: s } = await stack.site();
    const event = { s, i: 'retried', url: 'https://example.com/' };
    expect((await stack.sync({ ...event, st: 1 })).body.status).toBe('queued');
    expect((await stack.sync({ ...event, st: 2 })).body.status).toBe('duplicate');
    expect((await stack.sync({ ...event, extra: 1 })).body.status).toBe('conflict');
  });

  test('in another order, or written otherwise, are the same payload', async () => {
    const { public_id: s } = await stack.site();
    const answers = [];
    for (const text of [
      `{"s":"${s}","i":"x","url":"https://example.com/","ev":1.0,"el":"\\u00e9"}`,
      `{"el":"é","ev":1e0,"url":"https:\\/\\/example.com/", "i":"x","s":"${s}"}`,
    ])
      answers.push((await stack.sync(text)).body.status);
    expect(answers).toEqual(['queued', 'duplicate']);
  });
});

describe('the id', () => {
  test('of a single event may come as the header Idempotency-Key, which stands for i', async () => {
    const { id, public_id: s } = await stack.site();
    const event = { s, url: 'https://example.com/' };
    const headers = { origin, 'idempotency-key': 'key-1' };
    expect((await stack.sync(event, headers)).body.status).toBe('queued');
    expect((await stack.sync({ ...event, i: null }, headers)).body.status).toBe('duplicate');
    expect((await stack.sync({ ...event, i: 'key-1' })).body.status).toBe('duplicate');
    expect((await stack.sync({ ...event, el: 'other' }, headers)).status).toBe(409);
    expect((await stack.sync({ ...event, i: 'key-2' }, headers)).body.status).toBe('queued');
    expect((await payloads(id)).map((payload) => (payload as { i: string }).i)).toEqual(['key-1', 'key-2']);
  });

  test('is 1 to 128 printable characters', async () => {
    const { public_id: s } = await stack.site();
    const send = (i: unknown) => stack.sync({ s, i, url: 'https://example.com/' });
    expect((await send('x'.repeat(128))).status).toBe(200);
    for (const id of ['x'.repeat(129), '', ' ', 'a\nb', 'a\u007fb', 'a\u0001b', 'ä', 7, {}])
      expect(await send(id)).toMatchObject({ status: 400, body: { code: 'event_id_invalid' } });
    const headers = { origin, 'idempotency-key': 'x'.repeat(129) };
    expect(await stack.sync({ s, url: 'https://example.com/' }, headers)).toMatchObject({
      status: 400,
      body: { code: 'event_id_invalid' },
    });
  });

  test('of one site means nothing to another', async () => {
    for (const { public_id: s } of [await stack.site(), await stack.site()])
      expect((await stack.sync({ s, i: 'shared', url: 'https://example.com/' })).body.status).toBe('queued');
  });
});
