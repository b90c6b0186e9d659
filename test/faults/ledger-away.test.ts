// Guarantee 3: a ledger that cannot be reached closes the gate, whatever the error's class; nothing is published or counted.
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Report, Rule } from './door-faults.ts';
import { openRig, type Rig } from './rig.ts';
import { admitted, bodyOf, functionOf, newSite, retry, type Site, stateOf, toldBy } from './scenario.ts';
import { proving, table, writeSection } from './sections.ts';

/** What ingest itself may take, by its timeout. */
const answer_ms_max = 25_000;
/** Beyond the SDK's limit of 5 s for an attempt. */
const slow_ms = 6_000;

/** As the SDK's retry policy has it, with two attempts at the most; that after a secret that cannot be read is the adapter's. */
const classes: { error: string; status?: number; attempts: number }[] = [
  { error: 'DatabaseResumingException', attempts: 1 },
  { error: 'DatabaseUnavailableException', status: 504, attempts: 2 },
  { error: 'InternalServerErrorException', status: 500, attempts: 2 },
  { error: 'ServiceUnavailableError', status: 503, attempts: 2 },
  { error: 'ThrottlingException', attempts: 2 },
  { error: 'StatementTimeoutException', attempts: 1 },
  { error: 'SecretsErrorException', attempts: 2 },
  { error: 'connection cut', attempts: 2 },
];

let rig: Rig;
const rows: (string | number)[][] = [];
beforeAll(async () => {
  rig = await openRig();
});
afterAll(async () => {
  writeSection(
    '30-ledger-away',
    'The ledger is away',
    'Each answers 500 `billing_gate_closed` with `Retry-After`; nothing is published, counted or half-written, ' +
      `and the client's retry is billed once.\n\n${table(['error', 'step', 'attempts', 'answered within'], rows)}`,
  );
  await rig?.close();
});

const steps = classes.flatMap((one) =>
  ['site_for_ingest', 'ingest'].map((statement) => ({ ...one, statement })),
);

test.each(steps)('$error at $statement: $attempts attempts, the gate closes', async (step) => {
  const { error, status, attempts, statement } = step;
  const site = await newSite(rig, 5);
  const rule = ruleOf(statement, 'before', attempts + 3);
  rule.effect =
    error === 'connection cut' ? { kind: 'drop' } : { kind: 'error', error, ...(status && { status }) };
  const { took_ms, report } = await closedGate(site, ['a'], [rule]);
  expect(took_ms).toBeLessThan(2_000);
  expect(callsOf(report, 'rds-data ExecuteStatement', statement)).toBe(attempts);
  expect(await admitted(rig, site)).toBe(0);
  expect((await retry(rig, bodyOf(site, ['a']))).body.status).toBe('queued');
  await exactlyOnce(site, ['a']);
  rows.push([error, statement, attempts, took(took_ms)]);
});

test('a ledger slower than the limit: two attempts, the gate closes, and what it commits late is committed once', async () => {
  const site = await newSite(rig, 5);
  const other = await newSite(rig, 5);
  // Both sites are known now, by two warm instances, so that only the ledger is slow.
  await Promise.all([retry(rig, bodyOf(site, ['first'])), retry(rig, bodyOf(other, ['first']))]);
  const slow = (point: 'before' | 'after', nth: number, times: number): Rule => ({
    ...ruleOf('ingest', point, times),
    nth,
    effect: { kind: 'delay', ms: slow_ms },
  });
  // The first two calls run late, the next two are committed at once and answered late.
  await rig.arm([slow('before', 1, 2), slow('after', 1, 2)]);
  const started = performance.now();
  const answers = await Promise.all([
    rig.stack.sync(bodyOf(site, ['a'])),
    rig.stack.sync(bodyOf(other, ['a', 'b'])),
  ]);
  const took_ms = performance.now() - started;
  for (const answer of answers) expect(toldBy(answer)).toBe('billing_gate_closed');
  expect(took_ms).toBeLessThan(answer_ms_max);
  expect(took_ms).toBeGreaterThan(slow_ms);
  const report = await rig.heal();
  expect(callsOf(report, 'rds-data ExecuteStatement', 'ingest')).toBe(4);
  expect(callsOf(report, 'sqs SendMessage')).toBe(0);
  expect(callsOf(report, 'dynamodb UpdateItem')).toBe(2); // the rate limits only

  await retry(rig, bodyOf(site, ['a']));
  await retry(rig, bodyOf(other, ['a', 'b']));
  await wait(slow_ms - 5_000 + 500); // until the last of the late statements has run
  await rig.stack.database.query('update ingest_fallback_buffer set next_attempt_at = clock_timestamp()');
  const recovered = await rig.stack.functions.invoke(functionOf(rig, 'recover'), {});
  expect(recovered.ok).toBe(true);
  await exactlyOnce(site, ['a', 'first']);
  await exactlyOnce(other, ['a', 'b', 'first']);
  rows.push(['replies later than 5 s', 'ingest', 2, took(took_ms)]);
}, 60_000);

test.runIf(proving)(
  'the slowest path that ends: a lookup answered at its second attempt, then a ledger that never answers',
  async () => {
    const site = await newSite(rig, 5);
    const delay = { kind: 'delay', ms: slow_ms } as const;
    const rules: Rule[] = [
      { ...ruleOf('site_for_ingest', 'before', 1), effect: delay },
      { ...ruleOf('ingest', 'before', 2), effect: delay },
    ];
    const { took_ms } = await closedGate(site, ['a'], rules);
    expect(took_ms).toBeLessThan(answer_ms_max);
    rows.push(['replies later than 5 s', 'site_for_ingest, then ingest', '2 and 2', took(took_ms)]);
  },
  60_000,
);

/** Posts under the faults; the gate closes, and neither queue nor counter hears of it. */
async function closedGate(site: Site, ids: string[], rules: Rule[]) {
  await rig.arm(rules);
  const started = performance.now();
  const answer = await rig.stack.sync(bodyOf(site, ids));
  const took_ms = performance.now() - started;
  const report = await rig.heal();
  expect(toldBy(answer)).toBe('billing_gate_closed');
  expect(callsOf(report, 'sqs SendMessage')).toBe(0);
  expect(callsOf(report, 'dynamodb UpdateItem')).toBeLessThanOrEqual(1); // the rate limit's, never the counter's
  return { took_ms, report };
}

async function exactlyOnce(site: Site, ids: string[]): Promise<void> {
  await rig.stack.delivered();
  expect(await stateOf(rig, site)).toMatchObject({
    ledger: ids.map((id) => `${id} ACCEPTED t default_billable 3`),
    usage: [`${ids.length} 0`],
    outbox: 0,
    events: ids,
  });
}

function ruleOf(statement: string, point: 'before' | 'after', times: number): Rule {
  const caller = functionOf(rig, 'ingest');
  const call = { service: 'rds-data', operation: 'ExecuteStatement', statement };
  return { ...call, caller, point, times, effect: { kind: 'drop' } };
}

function callsOf(report: Report, operation: string, statement?: string): number {
  return report.calls[[functionOf(rig, 'ingest'), operation, statement].filter(Boolean).join(' ')] ?? 0;
}

function took(ms: number): string {
  return ms < 1_000 ? `${Math.ceil(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}
