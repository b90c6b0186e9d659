// What does the quota decision cost in SQL? ingest() against bare inserts and against one COPY stream into the same tables.
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from } from 'pg-copy-streams';
import { startPostgres } from '../local/postgres/postgres.ts';
import { split } from '../shared/migration.ts';
import { measure, report, table, type Variant } from './measure.ts';

const sites_count = 1_000;
const clients_count = 8;
const copy_rows = 1_000;
const payload = JSON.stringify({
  url: 'https://example.com/presentations/2026/images/dashboard.png',
  ec: 'page',
  ea: 'view',
  el: 'GET 200',
  ev: 203_023,
  r: 'https://www.example.org/search?q=usage',
  meta: {
    time: '2026-01-05T10:05:03.000Z',
    method: 'GET',
    status: 200,
    user_agent: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36',
  },
});

let copied = 1e15; // ids that no ingest draws

const directory = await mkdtemp(join(tmpdir(), 'kernel-bench-'));
const postgres = await startPostgres({ directory, masterPassword: 'bench' });
const clients = await Promise.all(Array.from({ length: 32 }, connect));
const [first] = clients as [pg.Client];
await migrate(first);
await first.query(
  `insert into sites (id, public_id, name) select ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid, 's_' || i, 'bench' from generate_series(1, $1) i`,
  [sites_count],
);
await first.query('insert into site_plans (site_id, monthly_limit) select id, 1000000000 from sites');

const spread = () =>
  `00000000-0000-4000-8000-${String(1 + Math.floor(Math.random() * sites_count)).padStart(12, '0')}`;
const hot = () => '00000000-0000-4000-8000-000000000001';

const variants: Variant[] = [
  {
    name: 'three bare inserts in a transaction, 8 clients',
    run: (ms) => drive(clients_count, ms, bareInserts),
  },
  {
    name: 'ingest of 1, sites spread, 8 clients',
    run: (ms) => drive(clients_count, ms, ingestOf(1, spread)),
    against: 'three bare inserts in a transaction, 8 clients',
    target: 0.6,
  },
  { name: 'ingest of 1, one hot site, 8 clients', run: (ms) => drive(clients_count, ms, ingestOf(1, hot)) },
  { name: 'ingest of 1, one hot site, 32 clients', run: (ms) => drive(32, ms, ingestOf(1, hot)) },
  { name: 'COPY into ledger and outbox, 1 stream', run: (ms) => drive(1, ms, copyBoth) },
  ...[10, 100, 500].map((size) => ({
    name: `ingest of ${size}, sites spread, 1 client`,
    run: (ms: number) => drive(1, ms, ingestOf(size, spread)),
    against: 'COPY into ledger and outbox, 1 stream',
    ...(size === 100 && { target: 0.6 }),
  })),
  {
    name: 'ingest of 100, one hot site, 1 client',
    run: (ms) => drive(1, ms, ingestOf(100, hot)),
    against: 'COPY into ledger and outbox, 1 stream',
  },
];
const results = await measure(variants);
const { rows } = await first.query(
  `select (sum(pg_total_relation_size(c.oid)) / greatest((select count(*) from ingest_idempotency), 1))::int bytes
     from pg_class c where c.relname ~ '^ingest_idempotency_p' and c.relkind = 'r'`,
);
report(
  'ingest-sql',
  'Events per second of one call of `ingest()` (lock, twins, quota, ledger, outbox, usage, commit) against the floor of the same Postgres, fsync on. A ratio is the median of paired slices.',
  `${table(
    ['variant', 'events/s', 'ratio', 'at least'],
    results.map(({ name, per_second, ratio, target }) => [
      name,
      Math.round(per_second).toLocaleString('en'),
      ratio === undefined ? '' : ratio.toFixed(2),
      target === undefined ? '' : target.toFixed(2),
    ]),
  )}\n\nA ledger row with its indexes takes ${rows[0].bytes} bytes (v3 keys; at most 240 by design).`,
);
await Promise.all(clients.map((client) => client.end()));
await postgres.stop();
await rm(directory, { recursive: true, force: true });

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: postgres.superuserUrl });
  await client.connect();
  return client;
}

async function migrate(client: pg.Client): Promise<void> {
  const folder = join(import.meta.dirname, '../migrations');
  const names = (await readdir(folder)).filter((name) => /^\d{4}_/.test(name)).sort();
  for (const name of names)
    for (const statement of split(await readFile(join(folder, name), 'utf8'))) await client.query(statement);
}

/** Lets the clients work side by side until the time is over; each step returns how many events it wrote. */
async function drive(
  count: number,
  ms: number,
  step: (client: pg.Client) => Promise<number>,
): Promise<number> {
  const end = performance.now() + ms;
  const done = await Promise.all(
    clients.slice(0, count).map(async (client) => {
      let events = 0;
      while (performance.now() < end) events += await step(client);
      return events;
    }),
  );
  return done.reduce((sum, events) => sum + events, 0);
}

function ingestOf(size: number, site: () => string) {
  return async (client: pg.Client) => {
    const events: string[] = [];
    for (let i = 0; i < size; i++) {
      events.push(
        `{"key":"${randomBytes(16).toString('hex')}","version":3,"hash":"${randomBytes(32).toString('hex')}","payload":${payload}}`,
      );
    }
    await client.query({
      name: 'ingest',
      text: `select used, results::text from ingest($1::uuid, $2::uuid, $3::jsonb, 'request', '192.0.2.1', 'agent')`,
      values: [site(), randomUUID(), `[${events.join(',')}]`],
    });
    return size;
  };
}

async function bareInserts(client: pg.Client): Promise<number> {
  const site = spread();
  const key = randomBytes(16);
  await client.query('begin');
  const { rows: ledger } = await client.query({
    name: 'bare-ledger',
    text: `insert into ingest_idempotency (site_id, idempotency_key, payload_hash, created_at, expires_at, idempotency_version)
           values ($1, $2, $3, now(), now() + interval '90 days', 3) returning id`,
    values: [site, key, randomBytes(32)],
  });
  await client.query({
    name: 'bare-outbox',
    text: `insert into ingest_fallback_buffer (id, batch_id, site_id, payload, created_at, next_attempt_at, request_id, client_ip, user_agent)
           values ($1, $2, $3, $4, now(), now(), 'request', '192.0.2.1', 'agent')`,
    values: [ledger[0].id, randomUUID(), site, payload],
  });
  await client.query({
    name: 'bare-usage',
    text: `insert into site_usage_monthly (site_id, year_month, event_count) values ($1, utc_year_month(now()), 1)
           on conflict (site_id, year_month) do update set event_count = site_usage_monthly.event_count + 1`,
    values: [site],
  });
  await client.query('commit');
  return 1;
}

async function copyBoth(client: pg.Client): Promise<number> {
  const now = new Date().toISOString();
  const later = new Date(Date.now() + 91 * 86_400_000).toISOString();
  const ledger: string[] = [];
  const outbox: string[] = [];
  const batch = randomUUID();
  for (let i = 0; i < copy_rows; i++) {
    const site = spread();
    const id = copied++;
    ledger.push(
      `${id}\t${site}\t\\\\x${randomBytes(16).toString('hex')}\t\\\\x${randomBytes(32).toString('hex')}\t${now}\t${later}\t3\n`,
    );
    outbox.push(`${id}\t${batch}\t${site}\t${payload}\t${now}\t${now}\trequest\t192.0.2.1\tagent\n`);
  }
  await client.query('begin');
  await copy(
    client,
    'ingest_idempotency (id, site_id, idempotency_key, payload_hash, created_at, expires_at, idempotency_version)',
    ledger,
  );
  await copy(
    client,
    'ingest_fallback_buffer (id, batch_id, site_id, payload, created_at, next_attempt_at, request_id, client_ip, user_agent)',
    outbox,
  );
  await client.query('commit');
  return copy_rows;
}

async function copy(client: pg.Client, target: string, lines: string[]): Promise<void> {
  await pipeline(Readable.from([lines.join('')]), client.query(from(`copy ${target} from stdin`)));
}
