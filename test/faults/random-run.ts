// One seeded run of random load under random faults, and what an auditor finds when everything is healed.
import { setTimeout as wait } from 'node:timers/promises';
import { overlappingBatches, type Random, random } from '../support/random.ts';
import type { Answer } from '../support/stack.ts';
import type { Rig } from './rig.ts';
import {
  bodyOf,
  functionOf,
  makeDue,
  newSite,
  raiseLimit,
  recover,
  type Site,
  sendMessage,
} from './scenario.ts';

export interface Size {
  ids: number;
  clients: number;
  batch_max: number;
}

export interface RunResult {
  seed: number;
  requests: number;
  /** Answers by what they said. */
  answers: Record<string, number>;
  fired: Record<string, number>;
  /** Each invariant that does not hold, in one sentence. */
  violations: string[];
}

/** Of 1,000 chances, twice for each call of each function. */
const per_mille = { drop: 40, error: 40, delay: 60, kill: 10 };
const attempts_max = 200;

interface Told {
  site: Site;
  limit: number;
  queued: string[];
  duplicate: Set<string>;
  refused: Set<string>;
}

/** Posts overlapping batches to two sites with hard limits while faults fire, heals everything, and audits. */
export async function randomRun(rig: Rig, seed: number, size: Size): Promise<RunResult> {
  const source = random(seed);
  const result: RunResult = { seed, requests: 0, answers: {}, fired: {}, violations: [] };
  const told: Told[] = [];
  for (let n = 0; n < 2; n++) {
    const limit = 1 + source.below(Math.floor(size.ids * 1.2)); // now and then there is room for all
    const site = await newSite(rig, limit, 1_000_000);
    told.push({ site, limit, queued: [], duplicate: new Set(), refused: new Set() });
  }
  const ids = Array.from({ length: size.ids }, (_, n) => `event-${n}`);
  const work = source.shuffle(
    told.flatMap((one) =>
      overlappingBatches(ids, 0.3, size.batch_max, source).map((batch) => ({ one, batch })),
    ),
  );

  const callers = ['ingest', 'deliver', 'recover', 'event source'].map((name) => functionOf(rig, name));
  await rig.storm({ seed, perMille: per_mille, callers });
  const over = new AbortController();
  const disorder = disturb(rig, random(seed + 1), over.signal, result);
  await Promise.all(
    Array.from({ length: size.clients }, async () => {
      for (let item = work.pop(); item; item = work.pop()) await post(rig, item.one, item.batch, result);
    }),
  );
  over.abort();
  await disorder;
  const { fired } = await rig.heal();
  for (const [kind, count] of Object.entries(fired)) add(result.fired, kind, count);

  await settle(rig);
  for (const one of told) result.violations.push(...(await audit(rig, one, size.ids)));
  return result;
}

/** A client: the same ids again, until it is told what became of them. */
async function post(rig: Rig, told: Told, batch: string[], result: RunResult): Promise<void> {
  for (let attempt = 0; attempt < attempts_max; attempt++) {
    const answer = await rig.stack.sync(bodyOf(told.site, batch));
    result.requests += 1;
    add(result.answers, `${answer.status} ${answer.body?.status ?? ''}`.trim());
    if (answer.status === 200 || answer.status === 429) return note(answer, told, batch, result);
    if (answer.status < 500) result.violations.push(`A good request was answered ${answer.status}.`);
    if (answer.body.status === 'billing_gate_closed' && !answer.headers.has('retry-after'))
      result.violations.push('A closed gate came without Retry-After.');
  }
  result.violations.push(`A client was told nothing in ${attempts_max} attempts.`);
}

function note({ status, body }: Answer, told: Told, batch: string[], { violations }: RunResult): void {
  const words: [string, string][] =
    body.results?.map((one: { id: string; status: string }) => [one.id, one.status]) ??
    batch.map((id) => [id, status === 429 ? 'rejected_quota' : body.status]);
  for (const [id, word] of words) {
    if (word === 'queued' || word === 'degraded') told.queued.push(id);
    else if (word === 'duplicate') told.duplicate.add(id);
    else if (word === 'rejected_quota') told.refused.add(id);
    else violations.push(`${id} was told ${word}.`);
  }
}

/** The world while clients post: messages that come again and out of order, and recover at any moment. */
async function disturb(rig: Rig, source: Random, over: AbortSignal, result: RunResult): Promise<void> {
  while (!over.aborted) {
    await wait(20 + source.below(80));
    const { rows } = await rig.stack.database.query<{ batch_id: string }>(
      'select distinct batch_id from ingest_fallback_buffer limit 20',
    );
    for (const { batch_id } of source.shuffle(rows).slice(0, 3)) {
      const sent = await sendMessage(rig, batch_id).catch(() => 'lost'); // the storm is over this client too
      if (sent !== 'lost') add(result.fired, 'message again');
    }
    if (source.below(4) === 0) {
      await makeDue(rig);
      await recover(rig);
    }
  }
}

/** Everything that is due is moved, and every message is taken. */
async function settle(rig: Rig): Promise<void> {
  await makeDue(rig);
  await recover(rig);
  await rig.stack.delivered();
}

async function audit(rig: Rig, told: Told, ids: number): Promise<string[]> {
  const { site, limit, queued, duplicate, refused } = told;
  const violations: string[] = [];
  const claim = (holds: boolean, sentence: string) => {
    if (!holds) violations.push(`${sentence} (site ${site.public_id}, limit ${limit})`);
  };
  const expected = Math.min(limit, ids);
  const counts = await rig.stack.counts(site.id);
  for (const name of ['billable', 'usage', 'events'] as const)
    claim(counts[name] === expected, `${name} is ${counts[name]} and not ${expected}`);
  claim(counts.outbox === 0, `the outbox holds ${counts.outbox} rows`);
  claim(counts.counter <= expected, `the counter is ${counts.counter}, above the ledger's ${expected}`);

  const { rows } = await rig.stack.database.query<{ id: string; times: number }>(
    `select e.payload ->> 'i' id, count(*)::int times
       from ingest_idempotency l join events e using (id) where l.site_id = $1 and l.billable group by 1`,
    [site.id],
  );
  const billed = new Map(rows.map(({ id, times }) => [id, times]));
  claim(new Set(queued).size === queued.length, 'an id was accepted twice');
  for (const id of new Set([...queued, ...duplicate]))
    claim(billed.get(id) === 1, `${id} was acknowledged and is billed ${billed.get(id) ?? 0} times`);
  for (const [id, times] of billed) claim(times === 1, `${id} is billed ${times} times`);
  for (const id of refused) claim(!billed.has(id), `${id} was refused and is billed`);

  await raiseLimit(rig, site, expected + 1);
  await rig.stack.sync(bodyOf(site, ['one-more']));
  const { counter } = await rig.stack.counts(site.id);
  claim(counter === expected + 1, `the counter is ${counter} after one more event than ${expected}`);
  await rig.stack.delivered();
  return violations;
}

function add(counts: Record<string, number>, name: string, count = 1): void {
  counts[name] = (counts[name] ?? 0) + count;
}
