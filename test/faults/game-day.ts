// The ground of the game day: one stack under load, its alarms, schedules and books; a fault is played on it, healed, and judged.
import { setTimeout as sleep } from 'node:timers/promises';
import { PurgeQueueCommand, SetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import type pg from 'pg';
import { expect } from 'vitest';
import type { InvokeResult } from '../../local/lambda/functions.ts';
import type { Postgres } from '../../local/postgres/postgres.ts';
import { fakeClock } from '../../local/schedule/clock.ts';
import { connect } from './books.ts';
import { type CloudWatch, openCloudWatch, type Reading } from './cloudwatch.ts';
import { type Load, newSite, type Site, startLoad } from './load.ts';
import { openRig, type Rig } from './rig.ts';

/** Long enough that a message outlives a fault of seconds, as three minutes do one of minutes. */
export const visibility_s = 4;
const rest_ms = 20;
const fault_ms = 3_000;
const patience = { timeout: 120_000, interval: 250 };
/** So that what is under way between two looks is less than the hundredth from which a counter counts as adrift. */
const warm_events = 15_000;
/** From there on the rows that no message moves are moved by recover. */
const recover_after_ms = (visibility_s + 1) * 1_000;
const poll_ms = 250;

export interface Day {
  rig: Rig;
  site: Site;
  load: Load;
  watch: CloudWatch;
  /** As it was started last. */
  postgres: Postgres;
  database<Result>(ask: (client: pg.Client) => Promise<Result>): Promise<Result>;
  /** A run of the job as its schedule starts it; the clock of the schedules stands still. */
  run(job: string): Promise<InvokeResult>;
  /** How long a message of the queue stays away when it was not deleted. */
  visibility(queue: string, seconds: number): Promise<void>;
  close(): Promise<void>;
}

export interface Scenario {
  dependency: string;
  fault: string;
  /** What must ring. */
  alarms: string[];
  /** Begins the fault; returns what ends it beside the faults of the door. */
  inject(day: Day): Promise<(() => unknown) | undefined>;
  /** What looks at it while it lasts, where that is not the load: a schedule's run, or a person. */
  look?(day: Day): Promise<unknown>;
  /** What must go again once it is over. */
  mended?(day: Day): Promise<unknown>;
  /** What somebody still has to do. */
  by_hand?: string;
}

export interface Result {
  readings: Reading[];
  /** The other alarms that rang. */
  also: string[];
  in_doubt: number;
  /** Of those, what had been committed. */
  committed: number;
  lost: number;
  doubled: number;
  acknowledged_ms: number;
  delivered_ms: number;
}

export async function openDay(assembly: string): Promise<Day> {
  const rig = await openRig({ clock: fakeClock(new Date()) });
  const { stack } = rig;
  const { body: site } = await stack.admin('POST', '/sites', newSite);
  const load = startLoad(stack.url, site, { rest_ms });
  const day: Day = {
    ...{ rig, site, load, watch: openCloudWatch(rig, load, assembly), postgres: stack.postgres },
    async database(ask) {
      const client = await connect(stack.postgres.superuserUrl);
      try {
        return await ask(client);
      } finally {
        await client.end();
      }
    },
    run: (job) => stack.schedules.trigger(stack.resource('AWS::Scheduler::Schedule', `Schedules${job}`).ref),
    async visibility(queue, seconds) {
      const Attributes = { VisibilityTimeout: String(seconds) };
      await rig.queue.client.send(new SetQueueAttributesCommand({ QueueUrl: urlOf(rig, queue), Attributes }));
    },
    async close() {
      await load.stop().catch(() => undefined); // the test has said why
      if (day.postgres !== stack.postgres) await day.postgres.stop(); // before the stack removes its files
      await rig.close();
    },
  };
  await day.visibility('DeliveryQueue', visibility_s);
  while (load.acknowledged.size < warm_events) await load.acknowledgedSince(performance.now());
  return day;
}

/** @throws AssertionError when no alarm rang, something was lost or doubled, or it did not become well by itself. */
export async function play(day: Day, scenario: Scenario): Promise<Result> {
  const { load, rig, watch } = day;
  const { alarms, inject, look, mended } = scenario;
  load.rest_ms = rest_ms;
  const since = watch.now();
  const before = { in_doubt: load.in_doubt.size, committed: load.committed_in_doubt };
  const end = await inject(day);
  await sleep(fault_ms);
  await look?.(day);
  const readings = await rung(watch, alarms, since);
  const also = (await watch.ringing(since)).filter((name) => !alarms.includes(name));

  await end?.();
  await rig.heal();
  const healed = performance.now();
  const took_ms = () => performance.now() - healed;
  const [acknowledged_ms, delivered_ms] = await Promise.all([
    load.acknowledgedSince(healed).then(took_ms),
    delivered(day).then(took_ms),
  ]);
  await mended?.(day);
  for (const queue of ['DeliveryDeadLetters', 'ExportDeadLetters'])
    await rig.queue.client.send(new PurgeQueueCommand({ QueueUrl: urlOf(rig, queue) }));
  await quiet(day, alarms);
  return {
    ...{ readings, also, acknowledged_ms, delivered_ms },
    in_doubt: load.in_doubt.size - before.in_doubt,
    committed: load.committed_in_doubt - before.committed,
    ...(await booksUnderLoad(day)),
  };
}

/** Resolves when all of them ring. */
async function rung(watch: CloudWatch, alarms: string[], since: ReturnType<CloudWatch['now']>) {
  let readings: Reading[] = [];
  await expect
    .poll(async () => {
      readings = await Promise.all(alarms.map((alarm) => watch.read(alarm, since)));
      return readings.flatMap((reading) => (reading.rings ? [] : [reading]));
    }, patience)
    .toEqual([]);
  return readings;
}

/** None of them rings at what is said from now on, while the schedules run. */
async function quiet(day: Day, alarms: string[]): Promise<void> {
  const since = day.watch.now();
  await day.run('Recover');
  await sleep(1_000);
  await expect
    .poll(async () => {
      const readings = await Promise.all(alarms.map((alarm) => day.watch.read(alarm, since)));
      return readings.filter(({ rings }) => rings);
    }, patience)
    .toEqual([]);
}

/**
 * Resolves when every event that was taken until now is delivered: by its message, which comes again, or by recover on
 * its schedule, which takes a row a minute after it was written; that minute is not waited for.
 */
async function delivered(day: Day): Promise<void> {
  const [{ now }] = await ask<[{ now: string }]>(day, 'select clock_timestamp()::text now');
  const waiting = 'from ingest_fallback_buffer where created_at <= $1';
  const begun = performance.now();
  const due = `update ingest_fallback_buffer set next_attempt_at = clock_timestamp()
    where id in (select id ${waiting} and attempts = 0 for update skip locked)`;
  for (let recovers = false; ; recovers = performance.now() - begun > recover_after_ms) {
    const [{ left }] = await ask<[{ left: number }]>(day, `select count(*)::int "left" ${waiting}`, [now]);
    if (left === 0) return;
    if (performance.now() - begun > patience.timeout) throw new Error(`${left} events are not delivered.`);
    await sleep(poll_ms);
    if (!recovers) continue;
    await ask(day, due, [now]);
    await day.run('Recover');
  }
}

/** In one snapshot, while clients send: ledger, usage, outbox and events agree, and hold once all that was acknowledged. */
async function booksUnderLoad(day: Day): Promise<{ lost: number; doubled: number }> {
  const acknowledged = [...day.load.acknowledged];
  const [row] = await ask<[Record<string, number>]>(
    day,
    `with held as (
       select id, payload ->> 'i' i from events where site_id = $1
       union all select id, payload ->> 'i' from ingest_fallback_buffer where site_id = $1
     ), billed as (
       select count(*)::int ledger, count(distinct idempotency_key)::int keys, count(*) filter (where billable)::int billable
         from ingest_idempotency where site_id = $1
     )
     select billed.*, (select count(*)::int from held) held,
            (select sum(event_count)::int from site_usage_monthly where site_id = $1) usage,
            (select (count(*) - count(distinct i))::int from held) doubled,
            (select count(*)::int from unnest($2::text[]) a (i) left join held using (i) where held.id is null) lost
       from billed`,
    [day.site.id, acknowledged],
  );
  const n = row.ledger;
  expect(n).toBeGreaterThanOrEqual(acknowledged.length);
  expect(row).toEqual({ ledger: n, keys: n, billable: n, held: n, usage: n, doubled: 0, lost: 0 });
  return { lost: Number(row.lost), doubled: Number(row.doubled) };
}

function ask<Rows>(day: Day, sql: string, values: unknown[] = []): Promise<Rows> {
  return day.database(async (client) => (await client.query(sql, values)).rows as Rows);
}

function urlOf({ stack }: Rig, queue: string): string {
  return stack.resource('AWS::SQS::Queue', queue).ref;
}
