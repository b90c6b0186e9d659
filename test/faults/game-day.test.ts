// Game day: each dependency is killed, throttled or corrupted in turn while load runs; the right alarm rings, nothing is lost, and it becomes well by itself.
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { cronSecretOf } from '../support/callers.ts';
import { checkBooks, drain } from './books.ts';
import type { Reading } from './cloudwatch.ts';
import { type Day, openDay, play, type Result, type Scenario } from './game-day.ts';
import { changedUsage, exportWithoutS3, sealedMonth } from './game-day-data.ts';
import { servicesFailing } from './game-day-faults.ts';
import { table, writeSection } from './sections.ts';

/** What the watchtower says for an hour comes last, what nobody is told first. */
const scenarios = [...sealedMonth, ...servicesFailing, exportWithoutS3, changedUsage];
const by_schedule_often = ['Recover', 'Reconcile', 'Sweep', 'Process', 'Backfill', 'Watchtower'];

let day: Day;
const played: { scenario: Scenario; result: Result }[] = [];
let acknowledged = 0;
beforeAll(async () => {
  day = await openDay(inject('assembly'));
}, 300_000);
afterAll(async () => {
  await day?.close();
  show();
}, 120_000);

test('while nothing is wrong, no alarm rings', async () => {
  const since = day.watch.now();
  for (const job of by_schedule_often) expect(await day.run(job)).toMatchObject({ ok: true });
  await expect.poll(async () => (await day.watch.read('watchtower-critical', since)).heard).toBe(true);
  expect(await day.watch.ringing(since)).toEqual([]);
}, 120_000);

test.each(scenarios)(
  '$dependency: $fault: what should ring rings, nothing is lost, and it becomes well by itself',
  async (scenario) => {
    played.push({ scenario, result: await play(day, scenario) });
  },
  300_000,
);

test('after all of it every acknowledged event is billed and delivered once', async () => {
  const { load, rig, site } = day;
  await load.stop();
  await day.database(async (client) => {
    await drain(client, rig.stack.url, cronSecretOf(rig.stack));
    expect(await checkBooks(client, site, load)).toEqual({ lost: 0, doubled: 0 });
  });
  acknowledged = load.acknowledged.size;
}, 300_000);

function show(): void {
  const head = ['dependency', 'fault', 'alarm, value and threshold', 'rings too', 'in doubt (committed)'];
  head.push('lost', 'doubled', 'taken again after', 'all delivered after', 'left to a person');
  const rows = played.map(({ scenario, result }) => [
    ...[scenario.dependency, scenario.fault],
    ...[result.readings.map(reading).join(', '), result.also.map(code).join(', ') || '–'],
    result.in_doubt === 0 ? 0 : `${result.in_doubt} (${result.committed})`,
    ...[result.lost, result.doubled, seconds(result.acknowledged_ms), seconds(result.delivered_ms)],
    scenario.by_hand ?? '–',
  ]);
  const what =
    'Six clients send single events and batches the whole day, and repeat what was not answered. Each fault lasts at least three seconds and until its alarm rings; both times are counted from its end. ' +
    'An alarm is the one of the synthesized template, asked by its own expression and threshold about what the stack emitted since the fault began. Metrics of AWS are measured here: 5xx and calls as the clients saw them, ' +
    'invocations and their failures, visible messages as SQS says them; metrics that nothing here stands for (durations, ages, capacity) are not asked, and the evaluation periods are not waited for. ' +
    'Where the consumer fails, each client rests a second between two requests, for its pollers do not grow here. ' +
    'A message comes again after four seconds, not three minutes (one second where dead letters are awaited, ten instead of sixteen minutes for an export); the minute before recover takes a row, and its schedule of five, are not waited for.';
  const printed = `${what}\n\n${table(head, rows)}\n\n${acknowledged} events acknowledged in ${played.length} of ${scenarios.length} faults.`;
  process.stdout.write(`\nGame day\n\n${printed}\n`);
  writeSection('40-game-day', 'Game day', printed);
}

function reading({ alarm, value, threshold, below }: Reading): string {
  if (threshold === null) return code(alarm);
  return `${code(alarm)} ${value === null ? 'silent' : short(value)} ${below ? '<' : '>'} ${short(threshold)}`;
}

const code = (name: string) => `\`${name}\``;
const short = (value: number) => String(Number(value.toPrecision(3)));
const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`;
