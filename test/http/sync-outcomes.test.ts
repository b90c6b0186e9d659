// What POST /api/sync answers once a site is known: status, headers and body of each outcome, for a single event and for a batch.
import { beforeAll, describe, expect, test } from 'vitest';
import { sharedStack } from '../support/shared-stack.ts';
import type { Answer, TestStack } from '../support/stack.ts';

let stack: TestStack;
beforeAll(async () => {
  stack = await sharedStack();
});

const event = (s: string, i: string, more: object = {}) => ({ s, i, url: 'https://example.com/', ...more });

/** The headers that speak of the outcome, all others left out. */
function told({ headers }: Answer): Record<string, string> {
  const build = /^x-opsmantik-(commit|branch|version)$/;
  return Object.fromEntries(
    [...headers].filter(([name]) => /^(x-opsmantik-|retry-after$)/.test(name) && !build.test(name)),
  );
}

function secondsToMonthEnd(): number {
  const now = new Date();
  return Math.ceil((Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1) - now.getTime()) / 1000);
}

describe('a single event', () => {
  test('is accepted with what remains of the quota, counted down to zero', async () => {
    const { public_id: s } = await stack.site({ limit: 3 });
    for (const [i, remaining] of ['2', '1', '0'].entries()) {
      const answer = await stack.sync(event(s, `event-${i}`));
      expect(answer.status).toBe(200);
      expect(answer.body).toEqual({
        ok: true,
        status: 'queued',
        ingest_id: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
        request_id: answer.headers.get('x-request-id'),
      });
      expect(told(answer)).toEqual({ 'x-opsmantik-dedup': '0', 'x-opsmantik-quota-remaining': remaining });
    }
  });

  test('beyond a soft limit is accepted as overage with nothing remaining, up to floor(limit × multiplier), then refused', async () => {
    const { id, public_id: s } = await stack.site({ limit: 3, soft: true, multiplier: '1.5' });
    await stack.sync({ events: ['a', 'b', 'c'].map((i) => event(s, i)) });
    const over = await stack.sync(event(s, 'd'));
    expect(over).toMatchObject({ status: 200, body: { ok: true, status: 'queued' } });
    expect(told(over)).toEqual({
      'x-opsmantik-dedup': '0',
      'x-opsmantik-overage': 'true',
      'x-opsmantik-quota-remaining': '0',
    });
    expect((await stack.sync(event(s, 'e'))).status).toBe(429);
    await stack.delivered();
    expect(await stack.counts(id)).toMatchObject({ billable: 4, usage: 4, events: 4, counter: 4 });
  });

  test('that came before is a duplicate: no ingest id, no quota header, nothing written', async () => {
    const { id, public_id: s } = await stack.site();
    await stack.sync(event(s, 'once'));
    const answer = await stack.sync(event(s, 'once'));
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({ ok: true, status: 'duplicate', request_id: expect.any(String) });
    expect(told(answer)).toEqual({ 'x-opsmantik-dedup': '1' });
    expect(await stack.counts(id)).toMatchObject({ billable: 1, usage: 1 });
  });

  test('with a known id and another payload is a conflict: 409 without a quota header, recorded, not billed', async () => {
    const { id, public_id: s } = await stack.site();
    await stack.sync(event(s, 'once', { el: 'this' }));
    const answer = await stack.sync(event(s, 'once', { el: 'that' }));
    expect(answer.status).toBe(409);
    expect(answer.body).toMatchObject({ ok: false, status: 'conflict', code: 'conflict' });
    expect(told(answer)).toEqual({});
    const { rows } = await stack.database.query(
      'select request_id from ingest_conflicts where site_id = $1',
      [id],
    );
    expect(rows).toEqual([{ request_id: answer.headers.get('x-request-id') }]);
    expect(await stack.counts(id)).toMatchObject({ billable: 1, usage: 1 });
  });

  test('beyond a hard limit is refused until the UTC month ends, each time it comes, and leaves one row', async () => {
    const { id, public_id: s } = await stack.site({ limit: 0 });
    for (let attempt = 1; attempt <= 2; attempt++) {
      const answer = await stack.sync(event(s, 'late'));
      expect(answer.status).toBe(429);
      expect(answer.body).toMatchObject({ ok: false, status: 'rejected_quota', code: 'rejected_quota' });
      expect(told(answer)).toEqual({
        'x-opsmantik-quota-exceeded': '1',
        'x-opsmantik-quota-remaining': '0',
        'retry-after': expect.stringMatching(/^\d+$/),
      });
      expect(Math.abs(Number(answer.headers.get('retry-after')) - secondsToMonthEnd())).toBeLessThan(10);
    }
    const { rows } = await stack.database.query(
      'select billable, billing_state, billing_reason from ingest_idempotency where site_id = $1',
      [id],
    );
    expect(rows).toEqual([
      { billable: false, billing_state: 'REJECTED_QUOTA', billing_reason: 'rejected_quota' },
    ]);
    expect(await stack.counts(id)).toMatchObject({ billable: 0, usage: 0, outbox: 0, events: 0 });
  });

  test('that was refused is accepted when the plan has grown', async () => {
    const { id, public_id: s } = await stack.site({ limit: 0 });
    expect((await stack.sync(event(s, 'late'))).status).toBe(429);
    await stack.admin('PUT', `/sites/${s}/plan`, { monthly_limit: '1' });
    expect(await stack.sync(event(s, 'late'))).toMatchObject({ status: 200, body: { status: 'queued' } });
    expect(await stack.counts(id)).toMatchObject({ billable: 1, usage: 1 });
  });
});

describe('a batch', () => {
  test('tells each event its own outcome, in order, and the headers tell the state after all of them', async () => {
    const { id, public_id: s } = await stack.site({ limit: 3 });
    await stack.sync({ events: [event(s, 'known'), event(s, 'changed')] });
    const answer = await stack.sync({
      events: [
        event(s, 'known'),
        event(s, 'fits'),
        event(s, 'changed', { el: 'other' }),
        event(s, 'bad', { ev: 1e300 }),
        event(s, 'too-many'),
        event(s, 'fits'),
      ],
    });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ ok: true, status: 'mixed', ingest_id: expect.any(String) });
    expect(answer.body.results).toEqual([
      { id: 'known', status: 'duplicate' },
      { id: 'fits', status: 'queued', ingest_id: answer.body.ingest_id },
      { id: 'changed', status: 'conflict' },
      { id: 'bad', status: 'invalid', code: 'number_not_exact', error: expect.any(String) },
      { id: 'too-many', status: 'rejected_quota', retry_after: expect.any(Number) },
      { id: 'fits', status: 'duplicate' },
    ]);
    expect(told(answer)).toEqual({
      'x-opsmantik-dedup': '0',
      'x-opsmantik-quota-exceeded': '1',
      'x-opsmantik-quota-remaining': '0',
    });
    await stack.delivered();
    expect(await stack.counts(id)).toMatchObject({ billable: 3, usage: 3, events: 3, counter: 3 });
  });

  test('names overage event by event', async () => {
    const { public_id: s } = await stack.site({ limit: 1, soft: true });
    const answer = await stack.sync({ events: ['a', 'b', 'c'].map((i) => event(s, i)) });
    expect(answer.body.results.map(({ status }: { status: string }) => status)).toEqual([
      'queued',
      'overage',
      'rejected_quota',
    ]);
    expect(told(answer)).toEqual({
      'x-opsmantik-dedup': '0',
      'x-opsmantik-overage': 'true',
      'x-opsmantik-quota-exceeded': '1',
      'x-opsmantik-quota-remaining': '0',
    });
  });

  test('of duplicates alone answers dedup 1 and no quota header', async () => {
    const { public_id: s } = await stack.site();
    const events = ['a', 'b'].map((i) => event(s, i));
    await stack.sync({ events });
    const answer = await stack.sync({ events });
    expect(answer).toMatchObject({ status: 200, body: { ok: true, status: 'duplicate' } });
    expect(told(answer)).toEqual({ 'x-opsmantik-dedup': '1' });
  });

  test('in which all are over quota answers 429 as a single would', async () => {
    const { public_id: s } = await stack.site({ limit: 0 });
    const answer = await stack.sync({ events: ['a', 'b'].map((i) => event(s, i)) });
    expect(answer).toMatchObject({ status: 429, body: { ok: false, status: 'rejected_quota' } });
    expect(answer.body.results).toHaveLength(2);
    expect(told(answer)).toMatchObject({
      'x-opsmantik-quota-exceeded': '1',
      'retry-after': expect.any(String),
    });
  });

  test('in which all conflict answers 409, and in which all are invalid 400, without a quota header', async () => {
    const { id, public_id: s } = await stack.site();
    const events = ['a', 'b'].map((i) => event(s, i));
    await stack.sync({ events });
    const conflict = await stack.sync({ events: events.map((one) => ({ ...one, el: 'other' })) });
    expect(conflict).toMatchObject({ status: 409, body: { ok: false, status: 'conflict' } });
    expect(told(conflict)).toEqual({});
    const invalid = await stack.sync({ events: ['c', 'd'].map((i) => event(s, i, { t: 1 })) });
    expect(invalid).toMatchObject({ status: 400, body: { ok: false, code: 'event_too_old' } });
    expect(invalid.body.results).toHaveLength(2);
    expect(told(invalid)).toEqual({});
    expect(await stack.counts(id)).toMatchObject({ billable: 2, usage: 2 });
  });
});
