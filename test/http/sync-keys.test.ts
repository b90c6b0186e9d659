// Who may post with an API key; and the keys of events without an id: v1 and v2, per site, switched at a month's edge.
import { beforeAll, describe, expect, test } from 'vitest';
import { apiKeyHash } from '../../shared/site.ts';
import { sharedStack } from '../support/shared-stack.ts';
import type { TestStack } from '../support/stack.ts';

let stack: TestStack;
beforeAll(async () => {
  stack = await sharedStack();
});

describe('an API key', () => {
  test('lets a server post without an origin, as a bearer token or as x-api-key', async () => {
    const site = await stack.site({ api_key: true });
    const send = (i: string, headers: Record<string, string>) =>
      stack.sync({ s: site.public_id, i, url: 'https://example.com/' }, headers);
    expect((await send('a', { authorization: `Bearer ${site.api_key}` })).body.status).toBe('queued');
    expect((await send('b', { 'x-api-key': site.api_key ?? '' })).body.status).toBe('queued');
    expect((await send('a', { 'x-api-key': site.api_key ?? '' })).body.status).toBe('duplicate');
  });

  test('that is wrong, or of another site, is 403 even from an allowed origin', async () => {
    const site = await stack.site({ api_key: true });
    const other = await stack.site({ api_key: true });
    for (const key of ['rk_wrong', other.api_key ?? '', `${site.api_key}x`, 'ä']) {
      const { status, body, headers } = await stack.sync(
        { s: site.public_id, url: 'https://example.com/' },
        { origin: 'https://example.com', 'x-api-key': key },
      );
      expect([status, body.code]).toEqual([403, 'api_key_invalid']);
      expect(headers.get('x-opsmantik-quota-remaining')).toBeNull();
    }
    expect(await stack.counts(site.id)).toMatchObject({ billable: 0 });
  });

  test('that is revoked is refused where it was not seen before, and the ledger no longer knows it', async () => {
    const site = await stack.site();
    const created = await stack.admin('POST', `/sites/${site.id}/keys`);
    const hash = apiKeyHash(created.body.api_key);
    expect(await liveHash(site.public_id, hash)).toBe(hash);
    await stack.admin('DELETE', `/sites/${site.id}/keys/${created.body.key_id}`);
    expect(await liveHash(site.public_id, hash)).toBeNull();
    const { status, body } = await stack.sync(
      { s: site.public_id, url: 'https://example.com/' },
      { 'x-api-key': created.body.api_key },
    );
    expect([status, body.code]).toEqual([403, 'api_key_invalid']);
  });

  async function liveHash(site: string, hash: string): Promise<string | null> {
    const { rows } = await stack.database.query('select key_hash from site_for_ingest($1, $2)', [site, hash]);
    return rows[0].key_hash;
  }
});

describe('an event without an id', () => {
  const click = { url: 'https://example.com/buy', ec: 'shop', ea: 'click', el: 'buy', sid: 'session-1' };
  const month = (offset: number) => {
    const now = new Date();
    return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + offset, 1)).toISOString().slice(0, 7);
  };

  /** Posts the event twice, at different milliseconds, for a new site whose key version is set before it is first seen. */
  async function twice(event: object, columns = '') {
    const site = await stack.site();
    if (columns) await stack.database.query(`update sites set ${columns} where id = $1`, [site.id]);
    const outcomes = [];
    for (let n = 0; n < 2; n++)
      outcomes.push((await stack.sync({ s: site.public_id, ...event })).body.status);
    const { rows } = await stack.database.query(
      'select distinct idempotency_version version from ingest_idempotency where site_id = $1',
      [site.id],
    );
    return { outcomes, versions: rows.map(({ version }) => version), ...(await stack.counts(site.id)) };
  }
  const once = { outcomes: ['queued', 'duplicate'], billable: 1, usage: 1 };
  const both = { outcomes: ['queued', 'queued'], billable: 2, usage: 2 };

  test('is keyed by v1: the same content within five seconds is a duplicate, clicks too', async () => {
    expect(await twice(click)).toMatchObject({ ...once, versions: [1] });
  });

  test('of another session, page, fingerprint or label is another event', async () => {
    const site = await stack.site();
    const variants = [
      {},
      { sid: 'session-2' },
      { url: 'https://example.com/x' },
      { meta: { fp: 'f' } },
      { el: 'x' },
    ];
    for (const variant of variants)
      expect((await stack.sync({ s: site.public_id, ...click, ...variant })).body.status).toBe('queued');
    expect(await stack.counts(site.id)).toMatchObject({ billable: variants.length });
  });

  test('with the same key but another payload is a duplicate, not a conflict: only ids conflict', async () => {
    const site = await stack.site();
    await stack.sync({ s: site.public_id, ...click, ev: 1 });
    expect(await stack.sync({ s: site.public_id, ...click, ev: 2 })).toMatchObject({
      status: 200,
      body: { status: 'duplicate' },
    });
  });

  test('that is a click is keyed to the millisecond by v2, so two clicks are two events', async () => {
    expect(await twice(click, 'key_version = 2')).toMatchObject({ ...both, versions: [2] });
  });

  test('that is a page view or a heartbeat is bucketed by v2', async () => {
    const time = { ts: Math.floor(Date.now() / 10_000) * 10_000 };
    for (const kind of [
      { ec: 'page', ea: 'view' },
      { ec: 'system', ea: 'heartbeat' },
    ])
      expect(await twice({ ...click, ...kind, ...time }, 'key_version = 2')).toMatchObject(once);
  });

  test('is keyed by the next version from the month on in which the site switches', async () => {
    const now = `next_key_version = 2, next_key_month = '${month(0)}'`;
    const later = `next_key_version = 2, next_key_month = '${month(1)}'`;
    expect(await twice(click, now)).toMatchObject({ ...both, versions: [2] });
    expect(await twice(click, later)).toMatchObject({ ...once, versions: [1] });
  });

  test('has the id of its client all the same when it has one, whatever the site keys by', async () => {
    expect(await twice({ ...click, i: 'mine' }, 'key_version = 2')).toMatchObject({ ...once, versions: [3] });
  });
});
