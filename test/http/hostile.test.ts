// Random and collected hostility against POST /api/sync: never a 5xx, each refusal explains itself, and what is accepted is kept exactly.
import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { connect } from 'node:net';
import canonicalize from 'canonicalize';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { errorStatus } from '../../shared/errors.ts';
import { type DrawnBody, hostileBody, hostileFrame } from '../support/hostile-arbitraries.ts';
import { bodies, good, type HostileRequest } from '../support/hostile-bodies.ts';
import { headers } from '../support/hostile-headers.ts';
import { type Answer, openStack, type TestStack } from '../support/stack.ts';

const runs = Math.ceil(Number(process.env.RUNS ?? 300) / 2);
const timeout_ms = 60_000 + runs * 500;
const growth_bytes_max = 256 * 1024 * 1024;
const origin = 'https://example.com';

let stack: TestStack;
let site: { id: string; public_id: string };
/** ingest_id → the event as it was sent. */
const accepted = new Map<string, unknown>();
let sent = 0;
beforeAll(async () => {
  stack = await openStack();
  const { body } = await stack.admin('POST', '/sites', {
    ...{ name: 'Hostile', origins: [origin], rate_limit: 1_000_000 },
    plan: { monthly_limit: '1000000000' },
  });
  site = body;
});
afterAll(() => stack.close());

/** What holds of every answer. */
function wellFormed({ status, headers: told, body }: Answer): void {
  expect(status).toBeLessThan(500);
  expect(body.request_id).toBe(told.get('x-request-id'));
  expect(body.ok).toBe(status === 200);
  if (status === 200) return;
  expect(body).toMatchObject({ ok: false, error: expect.stringMatching(/^(invalid_json|[A-Z].*[\w.])$/s) });
  const own = ['rejected_quota', 'conflict'].includes(body.code);
  if (!own) expect(errorStatus[body.code as keyof typeof errorStatus]).toBe(status);
}

/** Notes what was accepted of the events sent; a single body has no results. */
function note({ body }: Answer, events: unknown[]): string[] {
  const results = body.results ?? [body];
  results.forEach(({ status, ingest_id }: { status?: string; ingest_id?: string }, n: number) => {
    if (status === 'queued') accepted.set(ingest_id ?? '', events[n]);
  });
  return results.map(({ status }: { status?: string }) => status ?? 'invalid');
}

/** The body as text, its events as they are read back from that text, and the places of the good ones. */
function write({ form, keyed, events }: DrawnBody) {
  const drawn = form === 'single' ? events.slice(0, 1) : events;
  const frame = form === 'compact' ? '' : `"s":"${site.public_id}",`;
  const hostile = drawn.map(({ id, fields }) => {
    const own = form === 'single' && !keyed ? '' : `"i":${id ?? `"id-${sent++}"`},`;
    return `{${frame}${own}"url":"https://example.com/"${fields}}`;
  });
  const fine = () =>
    `{${frame}"i":"good-${sent++}","${form === 'compact' ? 'u' : 'url'}":"https://example.com/"}`;
  const texts = form === 'single' ? hostile : [fine(), ...hostile, fine()];
  const wrapped = {
    single: texts[0] ?? '',
    events: `{"events":[${texts.join(',')}]}`,
    compact: `{"s":"${site.public_id}","v":1,"e":[${texts.join(',')}]}`,
  }[form];
  return { text: wrapped, events: texts.map((text) => JSON.parse(text)) };
}

test(
  `${runs} random bodies in the three forms: no 5xx, and in a batch only the bad events are refused`,
  async () => {
    await fc.assert(
      fc.asyncProperty(hostileBody, async (drawn) => {
        const { text, events } = write(drawn);
        const answer = await stack.sync(text);
        wellFormed(answer);
        const told = note(answer, events);
        if (drawn.form === 'single') return;
        expect(answer.status).toBe(200);
        expect(told).toHaveLength(events.length);
        expect([told[0], told.at(-1)]).toEqual(['queued', 'queued']);
        for (const result of answer.body.results)
          if (result.status === 'invalid')
            expect(result).toMatchObject({ code: expect.any(String), error: expect.any(String) });
      }),
      { numRuns: runs },
    );
  },
  timeout_ms,
);

test(
  `${runs} random bodies whose frame is hostile too: no 5xx, and each refusal explains itself`,
  async () => {
    await fc.assert(
      fc.asyncProperty(hostileFrame, async (drawn) => {
        const text = drawn.replace('SITE', site.public_id);
        const answer = await stack.sync(text);
        wellFormed(answer);
        if (answer.status === 200) {
          const body = JSON.parse(text);
          note(answer, body.e ?? body.events ?? [body]);
        }
      }),
      { numRuns: runs },
    );
  },
  timeout_ms,
);

describe.each([
  ['a body', bodies],
  ['a request', headers],
] as const)('%s of', (kind, requests) => {
  test.each(requests)('$name is answered as it should be', async (hostile) => {
    const i = `${kind} ${sent++}`;
    const answer = await send(hostile, i);
    wellFormed(answer);
    if (hostile.answer === 'queued') {
      expect(answer.body.status).toBe('queued');
      note(answer, [JSON.parse(Buffer.from(hostile.body(site.public_id, i)).toString('utf8'))]);
    } else expect([answer.status, answer.body.code]).toEqual(hostile.answer);
    expect(answer.headers.get('set-cookie')).toBeNull();
  });
});

test('300 events of which one in the middle is bad: that one is refused, the others are queued', async () => {
  const texts = Array.from({ length: 300 }, (_, n) =>
    n === 150 ? good(site.public_id, 'bad').replace('}', ',"ec":{}}') : good(site.public_id, `many-${n}`),
  );
  const answer = await stack.sync(`{"events":[${texts.join(',')}]}`);
  const told = note(
    answer,
    texts.map((text) => JSON.parse(text)),
  );
  expect([answer.status, told[150]]).toEqual([200, 'invalid']);
  expect(told.filter((status) => status === 'queued')).toHaveLength(299);
});

test('line breaks in a header make no header of their own, and no 5xx', async () => {
  for (const id of ['a\r\nx-injected: 1', 'a\nx-injected: 1', 'a\rx-injected: 1', 'a\r\n\tb', 'a\u0000b']) {
    const text = good(site.public_id, `crlf-${sent++}`);
    const answer = await raw(
      `POST /api/sync HTTP/1.1\r\nHost: x\r\nOrigin: ${origin}\r\nContent-Length: ${text.length}\r\nConnection: close\r\nX-Request-Id: ${id}\r\n\r\n${text}`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 [24]\d\d /);
    expect(answer.split('\r\n\r\n')[0]).not.toMatch(/x-injected/i);
    const body = /\{.*\}/s.exec(answer)?.[0];
    if (answer.includes('"queued"') && body) accepted.set(JSON.parse(body).ingest_id, JSON.parse(text));
  }
});

test('every accepted event was delivered, equal to what was sent, and its hash can be recomputed by anyone', async () => {
  await stack.delivered();
  const { rows } = await stack.database.query(
    `select ingest_uuid(l.id, l.created_at) ingest_id, e.payload, l.idempotency_version version, encode(l.payload_hash, 'hex') hash
       from ingest_idempotency l left join events e on e.id = l.id where l.site_id = $1`,
    [site.id],
  );
  expect(rows.map(({ ingest_id }) => ingest_id).sort()).toEqual([...accepted.keys()].sort());
  for (const { ingest_id, payload, version, hash } of rows) {
    const expected = kept(accepted.get(ingest_id) as Record<string, unknown>);
    expect(canonicalize(payload)).toBe(canonicalize(expected));
    const { i: _, ...content } = payload;
    const own = createHash('sha256')
      .update(canonicalize(content) ?? '')
      .digest('hex');
    expect(hash).toBe(version === 3 ? own : null);
  }
  const { billable, usage, outbox, events, counter } = await stack.counts(site.id);
  const all = accepted.size;
  expect({ billable, usage, outbox, events, counter }).toEqual({
    ...{ billable: all, usage: all, outbox: 0, events: all, counter: all },
  });
});

test(
  `500 more requests, half of them 200 KB and refused, grow the process by less than ${growth_bytes_max / 1024 / 1024} MiB`,
  async () => {
    const wide = `{"s":"${site.public_id}","i":"w","url":"x","a":"${'ü'.repeat(100_000)}"}`;
    const deep = `{"s":"${site.public_id}","i":"d","url":"x","a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    const burst = async (size: number) => {
      for (let n = 0; n < size; n++)
        for (const text of n % 2 ? [wide] : [deep, '{"s":'])
          expect((await stack.sync(text)).status).toBe(400);
    };
    await burst(50);
    const before = process.memoryUsage.rss();
    await burst(333);
    expect(process.memoryUsage.rss() - before).toBeLessThan(growth_bytes_max);
  },
  timeout_ms,
);

/** What is kept of an event: all but how it travelled; the address under one name; texts cut to their length. */
function kept(event: Record<string, unknown>): Record<string, unknown> {
  const isObject = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value);
  const cut = (value: unknown, length: number) =>
    String(value)
      .slice(0, length)
      .replace(/[\ud800-\udbff]$/, '');
  const fields = Object.entries(event).filter(
    ([name, value]) => !['s', 'u', 'st', 'url'].includes(name) && (name !== 'meta' || isObject(value)),
  );
  const r = event.r ?? null;
  return Object.fromEntries([
    ...fields.map(([name, value]) => [name, name === 'r' && r !== null ? cut(value, 2048) : value]),
    ['url', cut(String(event.url ?? event.u).trim(), 4096)],
  ]);
}

/** By node:http, for fetch forbids much of what a hostile client may send. */
function send(hostile: HostileRequest, i: string): Promise<Answer> {
  const body = hostile.body(site.public_id, i);
  return new Promise((resolve, reject) => {
    const options = { method: 'POST', headers: { origin, ...hostile.headers } };
    const call = request(`${stack.url}/api/sync`, options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('end', () => {
        const pairs = Object.entries(response.headersDistinct).flatMap(([key, values = []]) =>
          values.map((value): [string, string] => [key, value]),
        );
        const text = Buffer.concat(chunks).toString('utf8');
        resolve({ status: response.statusCode ?? 0, headers: new Headers(pairs), body: JSON.parse(text) });
      });
    });
    call.once('error', reject).end(body);
  });
}

function raw(text: string): Promise<string> {
  const { hostname, port } = new URL(stack.url);
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(Number(port), hostname, () => socket.write(text));
    socket.setEncoding('latin1').on('data', (chunk) => {
      answer += chunk;
    });
    socket.once('error', reject).once('close', () => resolve(answer));
  });
}
