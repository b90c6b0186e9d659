// DynamoDB decides no money: without it the rate limit is a fifth of itself, the counts stay exact, and the counter heals.
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Effect, Rule } from './door-faults.ts';
import { openRig, type Rig } from './rig.ts';
import { bodyOf, functionOf, newSite, toldBy } from './scenario.ts';

const rate_limit = 50;
const share = rate_limit / 5;
const window_ms = 60_000;

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig?.close());

const away: { how: string; effect: Effect }[] = [
  { how: 'throttled', effect: { kind: 'error', error: 'ProvisionedThroughputExceededException' } },
  { how: 'failing', effect: { kind: 'error', error: 'InternalServerError', status: 500 } },
  { how: 'cut off', effect: { kind: 'drop' } },
];

test.each(away)(
  'a $how table: a fifth of the rate, no event lost, and the next event heals the counter',
  async ({ effect }) => {
    const site = await newSite(rig, 1_000, rate_limit);
    await withinOneWindow();
    const logged = rig.stack.logs.length;
    await rig.arm([everything(effect)]);
    for (let n = 0; n < share; n++) {
      const answer = await rig.stack.sync(bodyOf(site, [`event-${n}`]));
      expect(toldBy(answer)).toBe('queued');
      expect(answer.headers.get('ratelimit-policy')).toBe(`"default";q=${share};w=60`);
    }
    const refused = await rig.stack.sync(bodyOf(site, ['one-too-many']));
    expect(refused.status).toBe(429);
    expect(refused.headers.get('x-opsmantik-ratelimit')).toBe('1');
    expect(refused.headers.get('x-opsmantik-quota-exceeded')).toBeNull();
    const { calls } = await rig.heal();

    expect(calls[`${functionOf(rig, 'ingest')} dynamodb UpdateItem`]).toBe(2 * share + 2); // each once, never again; the refused one is counted too
    await rig.stack.delivered();
    expect(await rig.stack.counts(site.id)).toEqual({
      billable: share,
      usage: share,
      outbox: 0,
      events: share,
      counter: 0,
    });
    const metrics = rig.stack.logs.slice(logged).filter((line) => 'rate_limit_fallback_total' in line);
    expect(metrics).toHaveLength(share + 1);

    const healed = await rig.stack.sync(bodyOf(site, ['one-more']));
    expect(toldBy(healed)).toBe('queued');
    expect(healed.headers.get('ratelimit-policy')).toBe(`"default";q=${rate_limit};w=60`);
    await rig.stack.delivered();
    expect(await rig.stack.counts(site.id)).toMatchObject({ billable: share + 1, counter: share + 1 });
  },
);

test('a table that answers too late holds a request up for two seconds at the most', async () => {
  const site = await newSite(rig, 1_000, rate_limit);
  await rig.arm([everything({ kind: 'delay', ms: 2_500 })]);
  const started = performance.now();
  expect(toldBy(await rig.stack.sync(bodyOf(site, ['slow'])))).toBe('queued');
  const took_ms = performance.now() - started;
  await rig.heal();
  expect(took_ms).toBeGreaterThan(1_400); // half a second for the rate limit, one for the counter
  expect(took_ms).toBeLessThan(2_500);
  await wait(2_500); // until the late writes have come
  expect(toldBy(await rig.stack.sync(bodyOf(site, ['one-more'])))).toBe('queued');
  await rig.stack.delivered();
  expect(await rig.stack.counts(site.id)).toEqual({
    billable: 2,
    usage: 2,
    outbox: 0,
    events: 2,
    counter: 2,
  });
});

function everything(effect: Effect): Rule {
  const caller = functionOf(rig, 'ingest');
  return { caller, service: 'dynamodb', operation: '*', point: 'before', times: 1_000, effect };
}

/** A new window would begin to count anew. */
async function withinOneWindow(): Promise<void> {
  const left_ms = window_ms - (Date.now() % window_ms);
  if (left_ms < 5_000) await wait(left_ms);
}
