// Which events a plan bills: all of them, or by their kind; what is not billed is admitted and delivered all the same.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ingest, openDatabase, outcomes, type TestDatabase } from '../support/database.ts';

const kinds: [string, object, { billable: boolean; reason: string }][] = [
  ['a conversion', { ec: 'conversion', ea: 'order' }, { billable: true, reason: 'conversion' }],
  [
    'an interaction that is a view',
    { ec: 'interaction', ea: 'view' },
    { billable: true, reason: 'interaction_view' },
  ],
  [
    'an interaction that scrolls',
    { ec: 'interaction', ea: 'scroll_depth' },
    { billable: false, reason: 'scroll_depth' },
  ],
  ['a heartbeat', { ec: 'system', ea: 'heartbeat' }, { billable: false, reason: 'system' }],
  ['a session end', { ec: 'system', ea: 'session_end' }, { billable: false, reason: 'system' }],
  ['a system event without an action', { ec: 'system' }, { billable: false, reason: 'system' }],
  ['another interaction', { ec: 'interaction', ea: 'click' }, { billable: true, reason: 'default_billable' }],
  [
    'a scroll of no interaction',
    { ec: 'page', ea: 'scroll_depth' },
    { billable: true, reason: 'default_billable' },
  ],
  ['a view of no interaction', { ec: 'page', ea: 'view' }, { billable: true, reason: 'default_billable' }],
  ['System in capitals', { ec: 'System' }, { billable: true, reason: 'default_billable' }],
  ['an event without a category', {}, { billable: true, reason: 'default_billable' }],
  ['a category of null', { ec: null, ea: null }, { billable: true, reason: 'default_billable' }],
  ['a category that is a number', { ec: 7 }, { billable: true, reason: 'default_billable' }],
];

let database: TestDatabase;
beforeAll(async () => {
  database = await openDatabase();
});
afterAll(() => database.close());

const hex = (text: string, bytes: number) =>
  Buffer.from(text.padEnd(bytes, '.')).subarray(0, bytes).toString('hex');
const event = (i: string, fields: object) => ({
  key: hex(i, 16),
  version: 3,
  hash: hex(i, 32),
  payload: { i, url: 'https://example.com/', ...fields },
});
const scroll = { ec: 'interaction', ea: 'scroll_depth' };
const click = { ec: 'interaction', ea: 'click' };

async function siteWith(policy: string, limit: bigint): Promise<string> {
  const site = await database.site(limit);
  await setPolicy(site, policy);
  return site;
}

const setPolicy = (site: string, policy: string) =>
  database.superuser.query('update site_plans set billing_policy = $2 where site_id = $1', [site, policy]);

async function ledger(site: string) {
  const { rows } = await database.superuser.query(
    'select billable, billing_reason reason, billing_state state from ingest_idempotency where site_id = $1 order by id',
    [site],
  );
  return rows;
}

async function counts(site: string) {
  const { rows } = await database.superuser.query(
    `select (select count(*)::int from ingest_idempotency where site_id = $1 and billable) billable,
            (select event_count::int from site_usage_monthly where site_id = $1) usage,
            (select count(*)::int from ingest_fallback_buffer where site_id = $1) outbox`,
    [site],
  );
  return rows[0];
}

describe.each(['single', 'batch'])('sent as a %s', (form) => {
  /** A batch holds a second event, for one alone is decided by another function. */
  const send = async (site: string, fields: object) => {
    const beside = form === 'batch' ? [event('beside', { ec: 'conversion' })] : [];
    await outcomes(database.superuser, site, [event('a', fields), ...beside]);
    return (await ledger(site))[0];
  };

  test.each(kinds)('%s is billed under all, for the default reason', async (_name, fields) => {
    expect(await send(await siteWith('all', 10n), fields)).toEqual({
      billable: true,
      reason: 'default_billable',
      state: 'ACCEPTED',
    });
  });

  test.each(kinds)(
    '%s is judged by its kind under by_kind, and the reason is stored',
    async (_name, fields, expected) => {
      expect(await send(await siteWith('by_kind', 10n), fields)).toEqual({ ...expected, state: 'ACCEPTED' });
    },
  );
});

test('a plan, and a site without one, bills everything unless told otherwise', async () => {
  for (const site of [await database.site(5n), await database.site()]) {
    await outcomes(database.superuser, site, [event('a', scroll)]);
    expect(await counts(site)).toEqual({ billable: 1, usage: 1, outbox: 1 });
  }
});

test('an event that is not billed is admitted over a full quota, not counted, and delivered', async () => {
  const site = await siteWith('by_kind', 1n);
  await outcomes(database.superuser, site, [event('a', click)]);
  const row = await ingest(database.superuser, site, [event('b', scroll)]);
  expect(row).toMatchObject({
    used: '1',
    remaining: '0',
    admitted: '1',
    results: [['accepted', expect.any(String)]],
  });
  expect(
    await outcomes(database.superuser, site, [
      event('c', scroll),
      event('d', click),
      event('e', { ec: 'system' }),
    ]),
  ).toEqual(['accepted', 'rejected_quota', 'accepted']);
  expect(await counts(site)).toEqual({ billable: 1, usage: 1, outbox: 4 });
  await database.superuser.query(
    'update ingest_fallback_buffer set next_attempt_at = now() where site_id = $1',
    [site],
  );
  await database.superuser.query('select from recover(100)');
  const { rows } = await database.superuser.query(
    `select payload ->> 'i' i from events where site_id = $1 order by id`,
    [site],
  );
  expect(rows.map(({ i }) => i)).toEqual(['a', 'b', 'c', 'e']);
});

test('an event that is not billed takes no place of the billed ones in its batch, and is no overage', async () => {
  const site = await siteWith('by_kind', 2n);
  await database.superuser.query(
    'update site_plans set soft_limit_enabled = true, hard_cap_multiplier = 1.5 where site_id = $1',
    [site],
  );
  const batch = [scroll, click, scroll, click, scroll, click, scroll, click, scroll];
  expect(
    await outcomes(
      database.superuser,
      site,
      batch.map((fields, n) => event(`e${n}`, fields)),
    ),
  ).toEqual([
    'accepted',
    'accepted',
    'accepted',
    'accepted',
    'accepted',
    'overage',
    'accepted',
    'rejected_quota',
    'accepted',
  ]);
  expect(await counts(site)).toEqual({ billable: 3, usage: 3, outbox: 8 });
});

test('an event that is not billed comes once all the same: again it is a duplicate, with another payload a conflict', async () => {
  const site = await siteWith('by_kind', 0n);
  const again = event('a', scroll);
  expect(await outcomes(database.superuser, site, [again])).toEqual(['accepted']);
  expect(await outcomes(database.superuser, site, [again, { ...again, hash: hex('other', 32) }])).toEqual([
    'duplicate',
    'conflict',
  ]);
});

test('a change of the policy takes effect with the next event and changes no row that is there', async () => {
  const site = await siteWith('all', 10n);
  await outcomes(database.superuser, site, [event('a', scroll)]);
  await setPolicy(site, 'by_kind');
  await outcomes(database.superuser, site, [event('b', scroll)]);
  await setPolicy(site, 'all');
  await outcomes(database.superuser, site, [event('c', scroll)]);
  expect((await ledger(site)).map(({ billable, reason }) => [billable, reason])).toEqual([
    [true, 'default_billable'],
    [false, 'scroll_depth'],
    [true, 'default_billable'],
  ]);
  expect(await counts(site)).toEqual({ billable: 2, usage: 2, outbox: 3 });
});

test('an event that was refused under all is admitted, not billed, once the policy is by_kind', async () => {
  const site = await siteWith('all', 0n);
  expect(await outcomes(database.superuser, site, [event('a', scroll)])).toEqual(['rejected_quota']);
  await setPolicy(site, 'by_kind');
  expect(await outcomes(database.superuser, site, [event('a', scroll)])).toEqual(['accepted']);
  expect(await counts(site)).toEqual({ billable: 0, usage: 0, outbox: 1 });
});

test('a policy that does not exist cannot be stored', async () => {
  await expect(setPolicy(await database.site(5n), 'by_mood')).rejects.toMatchObject({ code: '23514' });
});
