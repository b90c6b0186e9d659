// How fast are webhooks of payment providers acknowledged and applied, and how fast are missed events replayed?
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startLocal } from '../local/start.ts';
import { synth } from '../scripts/synth.ts';
import { openBench, plantPurchases, plantWallets } from './large-ledger.ts';
import { percentile, report, table } from './measure.ts';
import { sendWebhooks } from './webhook-load.ts';

const webhooks_count = Number(process.env.WEBHOOKS ?? 5_000);
const events_count = Number(process.env.EVENTS ?? 20_000);
const connections = [1, 16];
const replay_target = 1_000;
/** As the job asks for them. */
const events_a_call = 50;
const today = new Date().toISOString().slice(0, 10);

const webhooks = await measureWebhooks();
const replays = await measureReplays();
report(
  'webhooks',
  `${webhooks_count.toLocaleString('en')} signed webhooks of captured deposits, each of a player of its own, through the whole embedded stack: HTTP, Data API, Postgres with fsync, SQS engine, load generator included; applied by the queue's consumer, which the rate counts from the first webhook sent to the last deposit credited. Then ${events_count.toLocaleString('en')} missed purchases are replayed, ${events_a_call} in a commit: by one connection in SQL, and by the job's own loop through the Data API.`,
  `${table(['connections', 'acknowledged/s', 'p50 ms', 'p99 ms', 'failed', 'applied/s'], webhooks.rows)}

${table(['replay', 'events', 'seconds', 'events/s', 'at least'], replays.rows)}

Deposits not credited: ${webhooks.missing}. Events not replayed: ${replays.missing}. Invariants broken afterwards: ${webhooks.broken + replays.broken}.`,
);
if (webhooks.missing + replays.missing + webhooks.broken + replays.broken + webhooks.failed > 0)
  process.exitCode = 1;

async function measureWebhooks() {
  const directory = await mkdtemp(join(tmpdir(), 'kernel-bench-'));
  await import('../scripts/build.ts');
  await synth('dev', join(directory, 'cdk.out'));
  const stack = await startLocal({ directory, assembly: join(directory, 'cdk.out'), durable: true });
  const client = new pg.Client({ connectionString: stack.postgres.superuserUrl });
  await client.connect();
  const { ref } = stack.resource('AWS::SecretsManager::Secret', 'Paymentsmockpsp');
  const load = {
    url: `${stack.url}/api/v1/payments/webhook/mockpsp`,
    secret: stack.state.secret(ref.split(':').at(-1) ?? ''),
  };
  await sendWebhooks({ ...load, connections: 4, bodies: await plantDeposits(client, 50) });
  await stack.eventSources.drained();
  const rows: string[][] = [];
  let failed = 0;
  for (const count of connections) {
    const bodies = await plantDeposits(client, webhooks_count);
    const started = performance.now();
    const sent = await sendWebhooks({ ...load, connections: count, bodies });
    await stack.eventSources.drained();
    const applied_s = (performance.now() - started) / 1_000;
    failed += sent.failed;
    rows.push([
      ...[String(count), rate(webhooks_count, sent.seconds)],
      ...[0.5, 0.99].map((share) => percentile(sent.latencies_ms, share).toFixed(1)),
      ...[String(sent.failed), rate(webhooks_count, applied_s)],
    ]);
    process.stderr.write(`${count} connections done\n`);
  }
  const missing = await countOf(client, `select count(*) n from deposits where state <> 'completed'`);
  const broken = await countOf(client, 'select count(*) n from check_money() where violations <> 0');
  await client.end();
  await stack.close();
  for (const path of [directory, stack.postgres.home]) await rm(path, { recursive: true, force: true });
  return { rows, failed, missing, broken };
}

/** Deposits that wait for their provider, and the webhooks that say that they were captured. */
async function plantDeposits(client: pg.Client, count: number): Promise<string[]> {
  const { rows } = await client.query<{ id: string; player_id: string }>(
    `with player as (
       insert into players (id, tenant_id) select gen_random_uuid(), 'bench' from generate_series(1, $1::integer) returning id
     )
     insert into deposits (id, tenant_id, player_id, currency, amount, method, state, idempotency_key, provider, metadata, flags)
     select gen_random_uuid(), 'bench', p.id, 'USD', 100, 'card', 'pending_provider', 'bench', 'mockpsp', '{}', '{}' from player p
     returning id, player_id`,
    [count],
  );
  await client.query('vacuum (analyze) players, deposits');
  const event = { event_type: 'deposit_captured', tenant_id: 'bench', amount_minor: '100', currency: 'USD' };
  return rows.map(({ id, player_id }) =>
    JSON.stringify({ ...event, provider_event_id: `capture:${id}`, tx_id: id, player_id }),
  );
}

async function measureReplays() {
  const bench = await openBench();
  await plantWallets(bench.client, Math.ceil(events_count / 4));
  await plantPurchases(bench.client, Math.ceil(events_count / 4), events_count);
  const half = Math.floor(events_count / 2);
  const in_sql_s = await replayInSql(bench.client, half);
  process.stderr.write('replayed in SQL\n');
  const { rows, seconds } = await bench.measured('replay', today, String(events_count - half));
  const missing = await countOf(
    bench.client,
    `select count(*) n from provider_events where status <> 'processed'`,
  );
  await bench.client.query('select fold_accounts()');
  const broken = await countOf(bench.client, 'select count(*) n from check_money() where violations <> 0');
  await bench.close();
  const line = (name: string, count: number, took_s: number) => [
    ...[name, count.toLocaleString('en'), took_s.toFixed(1), rate(count, took_s)],
    replay_target.toLocaleString('en'),
  ];
  return {
    rows: [line('in SQL', half, in_sql_s), line('through the Data API', Number(rows), seconds)],
    ...{ missing, broken },
  };
}

async function replayInSql(client: pg.Client, events: number): Promise<number> {
  const started = performance.now();
  const { rows } = await client.query(
    `select begin_backfill('webhook_replay', $1, $1, $2, 'bench') ->> 'id' id`,
    [today, events],
  );
  for (;;) {
    const { rows: steps } = await client.query({
      name: 'backfill_steps',
      text: `select (backfill_steps($1, $2) ->> 'idle')::boolean idle`,
      values: [rows[0].id, events_a_call],
    });
    if (steps[0].idle) return (performance.now() - started) / 1_000;
  }
}

function rate(count: number, seconds: number): string {
  return Math.round(count / seconds).toLocaleString('en');
}

async function countOf(client: pg.Client, sql: string): Promise<number> {
  return Number((await client.query(sql)).rows[0].n);
}
