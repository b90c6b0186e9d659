// What does the whole embedded stack carry over HTTP, and where does the time of one request go?
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb';
import { ExecuteStatementCommand, RDSDataClient } from '@aws-sdk/client-rds-data';
import { SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import pg from 'pg';
import { demoUsers } from '../local/issuer.ts';
import { startLocal } from '../local/start.ts';
import { synth } from '../scripts/synth.ts';
import { drive, type Load } from './load.ts';
import { median, percentile, report, table } from './measure.ts';

const load_ms = Number(process.env.SLICE_MS ?? 8_000);
const sites_count = 8;

const directory = await mkdtemp(join(tmpdir(), 'kernel-bench-'));
await import('../scripts/build.ts');
await synth('dev', join(directory, 'cdk.out'));
const stack = await startLocal({ directory, assembly: join(directory, 'cdk.out'), durable: true });
const token = await stack.issuer.token(
  demoUsers.find(({ role }) => role === 'platform-admin') as (typeof demoUsers)[0],
);
const sites = await Promise.all(Array.from({ length: sites_count }, createSite));
const base = { url: `${stack.url}/api/sync`, method: 'POST', sites };

await drive({ ...base, batch: 10, connections: 16, ms: 2_000 }); // warm up: workers, connections, plans
const rows: string[][] = [];
for (const [name, load, target] of [
  ['1 × 1', { ...base, batch: 1, connections: 1, ms: load_ms }, undefined],
  ['64 × 1', { ...base, batch: 1, connections: 64, ms: load_ms }, 500],
  ['4 × 100', { ...base, batch: 100, connections: 4, ms: load_ms }, 10_000],
] satisfies [string, Load, number | undefined][]) {
  const { events, failed, latencies_ms, seconds } = await drive(load);
  rows.push([
    name,
    Math.round(events / seconds).toLocaleString('en'),
    target?.toLocaleString('en') ?? '',
    ...[0.5, 0.95, 0.99].map((share) => percentile(latencies_ms, share).toFixed(1)),
    String(failed),
  ]);
}
const drained = performance.now();
await stack.eventSources.drained();
const drain_s = ((performance.now() - drained) / 1000).toFixed(1);
const parts = await whereTimeGoes();

report(
  'ingest-http',
  'Events per second through the whole embedded stack on one machine, load generator included: HTTP, a worker per function, the AWS SDK clients, Data API, Postgres with fsync, DynamoDB and SQS engines on disk.',
  `${table(['connections × events', 'events/s', 'at least', 'p50 ms', 'p95 ms', 'p99 ms', 'failed'], rows)}

All events were delivered ${drain_s} s after the last answer.

Where the time of one request goes, each part alone and one at a time; the AWS latencies themselves cannot be measured here:

${table(
  ['part', 'p50 ms'],
  parts.map(([name, ms]) => [name, ms.toFixed(2)]),
)}`,
);
await stack.close();
await rm(directory, { recursive: true, force: true });

async function createSite(): Promise<string> {
  const response = await fetch(`${stack.url}/api/admin/sites`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
    body: JSON.stringify({
      name: 'bench',
      origins: ['https://example.com'],
      plan: { monthly_limit: '1000000000' },
      rate_limit: 1_000_000,
    }),
  });
  return ((await response.json()) as { public_id: string }).public_id;
}

async function whereTimeGoes(): Promise<[string, number][]> {
  const { latencies_ms } = await drive({ ...base, method: 'OPTIONS', batch: 0, connections: 1, ms: 1_500 });
  const single = await drive({ ...base, batch: 1, connections: 1, ms: 2_000 });
  const client = new pg.Client({ connectionString: stack.postgres.superuserUrl });
  await client.connect();
  const { rows: found } = await client.query('select id from sites limit 1');
  const rds = new RDSDataClient(stack.client);
  const cluster = {
    resourceArn: `arn:aws:rds:${stack.client.region}:000000000000:cluster:local-cluster`,
    secretArn: stack.resource('AWS::SecretsManager::Secret', 'kernelingest').ref,
    database: 'kernel',
  };
  const sqs = new SQSClient(stack.client);
  const dynamodb = new DynamoDBClient(stack.client);
  const QueueUrl = stack.resource('AWS::SQS::Queue', 'DeliveryDeadLetters').ref;
  const TableName = stack.resource('AWS::DynamoDB::GlobalTable', 'Usage').ref;
  const parts: [string, number][] = [
    ['the whole request, one event', median(single.latencies_ms)],
    ['HTTP and worker (a preflight)', median(latencies_ms)],
    [
      'ingest() of one event in SQL, commit included',
      await timed((i) => client.query(ingestSql(found[0].id, i))),
    ],
    [
      'an empty statement through SDK and Data API',
      await timed(() => rds.send(new ExecuteStatementCommand({ ...cluster, sql: 'select 1 one' }))),
    ],
    ['SQS SendMessage', await timed(() => sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: '{}' })))],
    [
      'DynamoDB call',
      await timed(() =>
        dynamodb.send(
          new GetItemCommand({ TableName, Key: { site_id: { S: 'x' }, year_month: { S: 'x' } } }),
        ),
      ),
    ],
  ];
  await client.end();
  return parts;
}

function ingestSql(site: string, i: number) {
  const key = i.toString(16).padStart(32, '0');
  const events = JSON.stringify([
    { key, version: 3, hash: key + key, payload: { url: 'https://example.com/' } },
  ]);
  return {
    name: 'ingest',
    text: 'select used, results::text from ingest($1::uuid, gen_random_uuid(), $2::jsonb)',
    values: [site, events],
  };
}

async function timed(call: (i: number) => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 500; i++) {
    const started = performance.now();
    await call(i);
    times.push(performance.now() - started);
  }
  return median(times.slice(100));
}
