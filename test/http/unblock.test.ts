// The quota unblock of an incident and the enforcement of one site: a limit that rises, softens and falls back by itself, and a quota that can be switched off.
import { beforeAll, describe, expect, test } from 'vitest';
import { type Call, callsOf, type Role, told, userOf } from '../support/callers.ts';
import { sharedStack } from '../support/shared-stack.ts';
import type { TestStack } from '../support/stack.ts';

const no_site = '0d000000-0000-4000-8000-0000000000ff';
const inHours = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();

let stack: TestStack;
let call: Call;
beforeAll(async () => {
  stack = await sharedStack();
  call = callsOf(stack);
});

const unblock = (ref: string, body: unknown) => stack.admin('PUT', `/sites/${ref}/unblock`, body);
const enforce = (ref: string, body: unknown) => stack.admin('PUT', `/sites/${ref}/enforcement`, body);
const planOf = async (ref: string) =>
  (await call('platform-admin', 'GET', `/api/sites/${ref}/plan`)).body.plan;
const quotaOf = async (ref: string) =>
  (await call('platform-admin', 'GET', `/api/sites/${ref}/quota`)).body.quota;

/** Sends so many new events, one after the other; 200 is an event, 200+ one of overage. */
let sent = 0;
async function send(s: string, count: number): Promise<string[]> {
  const told: string[] = [];
  for (let n = 0; n < count; n++) {
    const { status, headers } = await stack.sync({ s, i: `e${sent++}`, url: 'https://example.com/' });
    told.push(`${status}${headers.get('x-opsmantik-overage') === 'true' ? '+' : ''}`);
  }
  return told;
}
const times = (count: number, value: string): string[] => Array(count).fill(value);

async function states(site: string): Promise<Record<string, number>> {
  const { rows } = await stack.database.query(
    'select billing_state, count(*)::int n from ingest_idempotency where site_id = $1 group by 1',
    [site],
  );
  return Object.fromEntries(rows.map(({ billing_state, n }) => [billing_state, n]));
}

async function audited(site: string) {
  const { rows } = await stack.database.query(
    `select actor_id, action, payload from audit_log where site_id = $1 and action ~ '^(plan_unblock|billing_enforcement)' order by id`,
    [site],
  );
  return rows;
}

/** What the clock does by itself, at once. */
const pass = (site: string) =>
  stack.database.query(
    `update site_plans set unblock_until = now() - interval '1 second' where site_id = $1`,
    [site],
  );

describe('an unblock', () => {
  test('raises the limit at once, makes it soft, and reverts by itself', async () => {
    const { id, public_id: s } = await stack.site({ limit: 2 });
    const plan = await planOf(id);
    expect(await send(s, 3)).toEqual(['200', '200', '429']);
    const until = inHours(24);
    const { status, body } = await unblock(s, { until, limit: '5', reason: 'A retry storm' });
    expect([status, body.plan.unblock]).toEqual([
      200,
      { monthly_limit: '5', until: until.replace('Z', '000Z') },
    ]);
    expect(await quotaOf(s)).toMatchObject({ used: '2', limit: '5', cap: '10', state: 'within' });
    const usage = (await stack.admin('GET', `/sites/${s}/usage`)).body;
    expect(usage).toMatchObject({ limit: '5', remaining: '3' });
    expect(await send(s, 9)).toEqual([...times(3, '200'), ...times(5, '200+'), '429']);

    await pass(id);
    expect(await send(s, 1)).toEqual(['429']);
    expect(await planOf(id)).toEqual(plan);
    expect(await quotaOf(s)).toMatchObject({ used: '10', limit: '2', cap: '2', state: 'exhausted' });
    expect(await states(id)).toEqual({ ACCEPTED: 5, OVERAGE: 5, REJECTED_QUOTA: 3 });
  });

  test('shows the plan beneath it unchanged, and a plan that is set meanwhile stays after it', async () => {
    const { id, public_id: s } = await stack.site({ limit: 1 });
    await unblock(s, { until: inHours(1), limit: 3, reason: 'x' });
    expect(await planOf(s)).toMatchObject({
      monthly_limit: '1',
      soft_limit_enabled: false,
      hard_cap_multiplier: '2',
    });
    await stack.admin('PUT', `/sites/${s}/plan`, { monthly_limit: '2' });
    expect(await planOf(s)).toMatchObject({ monthly_limit: '2', unblock: { monthly_limit: '3' } });
    expect(await send(s, 4)).toEqual([...times(3, '200'), '200+']);
    await pass(id);
    expect(await planOf(s)).toMatchObject({ monthly_limit: '2', unblock: null });
  });

  test('never lowers a limit', async () => {
    const { public_id: s } = await stack.site({ limit: 4 });
    expect((await unblock(s, { until: inHours(1), limit: 1, reason: 'x' })).body.plan.unblock).toMatchObject({
      monthly_limit: '4',
    });
    expect(await send(s, 9)).toEqual([...times(4, '200'), ...times(4, '200+'), '429']);
  });

  test('is 50,000 events unless told, can be replaced, and can be ended at once', async () => {
    const { public_id: s } = await stack.site({ limit: 0 });
    expect((await unblock(s, { until: inHours(1), reason: 'x' })).body.plan.unblock).toMatchObject({
      monthly_limit: '50000',
    });
    expect((await unblock(s, { until: inHours(2), limit: 1, reason: 'x' })).body.plan.unblock).toMatchObject({
      monthly_limit: '1',
    });
    expect(await send(s, 3)).toEqual(['200', '200+', '429']);
    expect((await unblock(s, { until: null, reason: 'over' })).body.plan.unblock).toBeNull();
    expect(await send(s, 1)).toEqual(['429']);
  });

  test('works on a site without a plan, which then has the default plan again', async () => {
    const { body: site } = await stack.admin('POST', '/sites', {
      name: 'Plain',
      origins: ['https://example.com'],
    });
    const plan = await planOf(site.id);
    expect(plan).toMatchObject({ plan_tier: 'default', monthly_limit: '1000', unblock: null });
    await unblock(site.id, { until: null, reason: 'nothing runs' });
    expect(
      (await unblock(site.id, { until: inHours(1), limit: 5_000, reason: 'x' })).body.plan,
    ).toMatchObject({
      ...{ plan_tier: 'default', monthly_limit: '1000', unblock: { monthly_limit: '5000' } },
    });
    expect(await quotaOf(site.id)).toMatchObject({ limit: '5000', cap: '10000' });
    await pass(site.id);
    expect(await planOf(site.id)).toEqual(plan);
    expect(await quotaOf(site.id)).toMatchObject({ limit: '1000', cap: '1000' });
  });

  test('is audited with who, until when and why; so is its end', async () => {
    const { id } = await stack.site({ limit: 1 });
    const until = inHours(24 * 31 - 0.1); // the longest
    await unblock(id, { until, limit: 7, reason: 'A retry storm' });
    await unblock(id, { until: null, reason: 'The tracker is mended' });
    const actor_id = userOf('platform-admin').id;
    expect(await audited(id)).toEqual([
      {
        actor_id,
        action: 'plan_unblock',
        payload: { limit: '7', until: until.replace('Z', '000Z'), reason: 'A retry storm' },
      },
      {
        actor_id,
        action: 'plan_unblock_end',
        payload: { limit: null, until: null, reason: 'The tracker is mended' },
      },
    ]);
  });

  test.each<[string, object]>([
    ['in the past', { until: inHours(-0.01), reason: 'x' }],
    ['of 32 days', { until: inHours(24 * 32), reason: 'x' }],
    ['until a day', { until: '2999-01-01', reason: 'x' }],
    ['until some time', { until: 'tomorrow', reason: 'x' }],
    ['without an end', { reason: 'x' }],
    ['without a reason', { until: inHours(1) }],
    ['for a blank reason', { until: inHours(1), reason: '  ' }],
    ['of less than nothing', { until: inHours(1), limit: -1, reason: 'x' }],
    ['of half an event', { until: inHours(1), limit: 1.5, reason: 'x' }],
    ['of too many', { until: inHours(1), limit: '1000000000001', reason: 'x' }],
    ['with a field more', { until: inHours(1), reason: 'x', soft: true }],
  ])('%s is refused in one sentence, and nothing changes', async (_what, body) => {
    const { id } = await stack.site({ limit: 1 });
    const before = await planOf(id);
    const answer = await unblock(id, body);
    expect(told(answer)).toEqual([400, 'invalid_request']);
    expect(answer.body.error).toMatch(/^[A-Z][^\n]*\.$/);
    expect([await planOf(id), await audited(id)]).toEqual([before, []]);
  });
});

describe('enforcement', () => {
  test('off, nothing is refused and what exceeds the plan is OVERAGE; on again, exactly as many as planned pass', async () => {
    const { id, public_id: s } = await stack.site({ limit: 3 });
    expect((await enforce(s, { enforced: false, reason: 'Canary' })).body.plan).toMatchObject({
      billing_enforcement: false,
      monthly_limit: '3',
    });
    expect(await send(s, 8)).toEqual([...times(3, '200'), ...times(5, '200+')]);
    expect(await states(id)).toEqual({ ACCEPTED: 3, OVERAGE: 5 });
    expect((await enforce(s, { enforced: true, reason: 'Canary is over' })).body.plan).toMatchObject({
      billing_enforcement: true,
    });
    expect(await send(s, 2)).toEqual(['429', '429']);
    await stack.admin('PUT', `/sites/${s}/plan`, { monthly_limit: '10' });
    expect(await send(s, 4)).toEqual(['200', '200', '429', '429']);
    expect(await states(id)).toEqual({ ACCEPTED: 5, OVERAGE: 5, REJECTED_QUOTA: 4 });
    const actor_id = userOf('platform-admin').id;
    expect(await audited(id)).toEqual([
      { actor_id, action: 'billing_enforcement', payload: { enforced: false, reason: 'Canary' } },
      { actor_id, action: 'billing_enforcement', payload: { enforced: true, reason: 'Canary is over' } },
    ]);
  });

  test('on, forty events at once fill a limit of seven exactly', async () => {
    const { id, public_id: s } = await stack.site({ limit: 7 });
    await enforce(id, { enforced: false, reason: 'x' });
    await enforce(id, { enforced: true, reason: 'x' });
    const answers = (await Promise.all(Array.from({ length: 40 }, () => send(s, 1)))).flat();
    expect(answers.toSorted()).toEqual([...times(7, '200'), ...times(33, '429')]);
  });

  test('of one site leaves the others enforced', async () => {
    const [off, on] = [await stack.site({ limit: 1 }), await stack.site({ limit: 1 })];
    await enforce(off.id, { enforced: false, reason: 'x' });
    expect([await send(off.public_id, 2), await send(on.public_id, 2)]).toEqual([
      ['200', '200+'],
      ['200', '429'],
    ]);
  });

  test.each<[string, object]>([
    ['without a reason', { enforced: false }],
    ['that is neither', { enforced: 'no', reason: 'x' }],
    ['with a field more', { enforced: false, reason: 'x', until: null }],
  ])('%s is refused, and nothing changes', async (_what, body) => {
    const { id } = await stack.site({ limit: 1 });
    expect(told(await enforce(id, body))).toEqual([400, 'invalid_request']);
    expect([(await planOf(id)).billing_enforcement, await audited(id)]).toEqual([true, []]);
  });
});

test('only a platform admin may do either, and only to a site that there is', async () => {
  const { id } = await stack.site({ limit: 1 });
  const bodies = {
    unblock: { until: inHours(1), reason: 'x' },
    enforcement: { enforced: false, reason: 'x' },
  };
  for (const [verb, body] of Object.entries(bodies)) {
    for (const role of ['owner', 'admin', 'billing', 'analyst', 'operator', 'player', 'finance'] as Role[])
      expect(told(await call(role, 'PUT', `/api/admin/sites/${id}/${verb}`, body))).toEqual([
        403,
        'forbidden',
      ]);
    expect(told(await call(null, 'PUT', `/api/admin/sites/${id}/${verb}`, body))).toEqual([
      401,
      'not_authenticated',
    ]);
    for (const ref of ['nobody', no_site])
      expect(told(await call('platform-admin', 'PUT', `/api/admin/sites/${ref}/${verb}`, body))).toEqual([
        400,
        'site_not_found',
      ]);
  }
  expect(await audited(id)).toEqual([]);
});
