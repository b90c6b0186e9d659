// A ledger of millions of rows, the services around it in this process, and a process of its own for what is measured.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import pg from 'pg';
import { startDoorThread } from '../local/door/thread.ts';
import { MASTER, startPostgres } from '../local/postgres/postgres.ts';
import { split } from '../shared/migration.ts';

const region = 'eu-central-1';
const clusterArn = `arn:aws:rds:${region}:000000000000:cluster:bench`;
const secretArn = `arn:aws:secretsmanager:${region}:000000000000:secret:bench`;
const table = 'usage';
export const MiB = 1024 * 1024;
/** What design and requirements allow an export and a reconciliation to take. */
export const memory_max = 300 * MiB;

/** What the measured process says of its work. */
export interface Outcome {
  rows: string;
  seconds: number;
  /** From the resident memory after a first small piece of work to the highest of the whole run, in bytes. */
  growth: number;
  [detail: string]: unknown;
}

export interface Surroundings {
  /** Runs one piece of work in its own process: `export` with the ids of two exports, `replay` with a day and how many events, or one without. */
  measured(what: 'export' | 'reconcile' | 'wallets' | 'replay', ...args: string[]): Promise<Outcome>;
  close(): Promise<void>;
}

/** Data API, DynamoDB and S3 in front of a Postgres that is migrated. */
export async function surround(
  database: { port: number; name: string; masterPassword: string },
  objectDirectory: string,
): Promise<Surroundings> {
  const credentials = { accessKeyId: 'bench', secretAccessKey: 'not-checked' };
  const door = await startDoorThread({
    identities: new Map([[credentials.accessKeyId, 'bench']]),
    secrets: new Map([[secretArn, JSON.stringify({ username: MASTER, password: database.masterPassword })]]),
    region,
    database: { clusterArn, host: '127.0.0.1', port: database.port },
    objectDirectory,
  });
  const client = { endpoint: door.url, region, credentials };
  const s3 = new S3Client(client);
  for (const Bucket of ['exports', 'evidence']) await s3.send(new CreateBucketCommand({ Bucket }));
  const dynamodb = new DynamoDBClient(client);
  await dynamodb.send(
    new CreateTableCommand({
      TableName: table,
      KeySchema: [
        { AttributeName: 'site_id', KeyType: 'HASH' },
        { AttributeName: 'year_month', KeyType: 'RANGE' },
      ],
      AttributeDefinitions: [
        { AttributeName: 'site_id', AttributeType: 'S' },
        { AttributeName: 'year_month', AttributeType: 'S' },
      ],
      BillingMode: 'PAY_PER_REQUEST',
    }),
  );
  s3.destroy();
  dynamodb.destroy();
  const environment = {
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    AWS_ENDPOINT_URL: door.url,
    DATABASE_CLUSTER_ARN: clusterArn,
    DATABASE_SECRET_ARN: secretArn,
    DATABASE_NAME: database.name,
    LEDGER_ACCESS: 'data-api',
    USAGE_TABLE: table,
    PATH: process.env.PATH,
  };
  return {
    measured: (what, ...args) => inProcess(environment, [what, ...args]),
    close: () => door.close(),
  };
}

async function inProcess(env: NodeJS.ProcessEnv, args: string[]): Promise<Outcome> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'measured.ts'), ...args], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`The measured process ended with ${code}.`);
  return JSON.parse(output) as Outcome;
}

/** Sites whose month holds so many rows in all, spread evenly over sites and time, as ingest would have written them. */
export async function plantSites(
  client: pg.Client,
  month: string,
  sites: number,
  rows: number,
): Promise<string[]> {
  const ids = Array.from({ length: sites }, () => randomUUID());
  await client.query(
    `insert into sites (id, public_id, name, created_at) select s, 'bench-' || s, 'bench', month_start($2) from unnest($1::uuid[]) s`,
    [ids, month],
  );
  await client.query(
    `insert into ingest_idempotency (site_id, created_at, expires_at, idempotency_version, idempotency_key, payload_hash, billing_state)
     select ($1::uuid[])[1 + n % $3], at, at + interval '91 days', 3, decode(md5($1[1]::text || n), 'hex'), sha256(int8send(n)),
            case when n % 100 = 0 then 'OVERAGE' else 'ACCEPTED' end::billing_state
       from generate_series(1, $4::bigint) n,
            lateral (select month_start($2) + (least(month_start($2) + interval '1 month', now()) - month_start($2)) * (n / ($4::bigint + 1)::float8) as at) t`,
    [ids, month, sites, rows],
  );
  await client.query('vacuum (analyze) ingest_idempotency'); // which autovacuum does while the rows come over a month
  return ids;
}

/** What delivery and the usage row hold of those rows when nothing is wrong. */
export async function plantDelivered(client: pg.Client, month: string): Promise<void> {
  await client.query(
    `insert into events (id, site_id, received_at, payload) select id, site_id, created_at, '{"url": "https://example.com/"}' from ingest_idempotency where year_month = $1`,
    [month],
  );
  await client.query(
    `insert into site_usage_monthly (site_id, year_month, event_count, overage_count)
     select site_id, year_month, count(*), count(*) filter (where billing_state = 'OVERAGE') from ingest_idempotency where year_month = $1 group by 1, 2`,
    [month],
  );
  await client.query('vacuum (analyze) events');
}

/** Wallets with two deposits and a withdrawal each, as the calls would have booked them; none has promised anything. */
export async function plantWallets(client: pg.Client, wallets: number): Promise<void> {
  await client.query(`set session_replication_role = replica`); // the guards judge a call's own rows, not a plant
  await client.query(
    `insert into accounts (id, tenant_id, owner_id, currency, kind, constrained, floor, balance, version)
     select account_id('bench', o.id, 'USD', k.kind), 'bench', o.id, 'USD', k.kind, true, 0, k.balance, k.version
       from generate_series(0, $1::bigint - 1) w, lateral (select md5('owner|' || w)::uuid as id) o,
            (values ('available', 120, 3), ('held', 0, 0), ('promo', 0, 0)) k (kind, balance, version)
     union all
     select account_id('bench', null, 'USD', k), 'bench', null, 'USD', k, false, null, 0, 0
       from unnest(array['adjustments', 'clearing', 'promotion', 'revenue']) k`,
    [wallets],
  );
  const movements = `generate_series(0, $1::bigint - 1) w, (values (1, 'deposit', 100, 0), (2, 'deposit', 50, 100), (3, 'withdrawal', -30, 150)) m (nth, kind, amount, before)`;
  await client.query(
    `insert into transfers (no, id, event_at, created_at, reversible, overdraw, amount, tenant_id, kind)
     select w * 3 + m.nth, md5('transfer|' || w || '|' || m.nth)::uuid, now(), now(), true, false, abs(m.amount), 'bench', m.kind from ${movements}`,
    [wallets],
  );
  await client.query(
    `insert into entries (transfer_no, n, account_id, amount, created_at, balance_before, balance_after, version)
     select w * 3 + m.nth, e.n, e.account_id, e.sign * m.amount, now(), case e.n when 1 then m.before end, case e.n when 1 then m.before + m.amount end,
            case e.n when 1 then m.nth end
       from ${movements}, lateral (values (1, account_id('bench', md5('owner|' || w)::uuid, 'USD', 'available'), 1),
                                          (2, account_id('bench', null, 'USD', 'clearing'), -1)) e (n, account_id, sign)`,
    [wallets],
  );
  await client.query(`select setval('transfer_no_seq', $1::bigint * 3)`, [wallets]);
  await client.query('reset session_replication_role');
  await client.query('vacuum (analyze) accounts, transfers, entries');
}

/** Purchases of today by those wallets that no one has heard of yet. */
export async function plantPurchases(client: pg.Client, wallets: number, events: number): Promise<void> {
  await client.query(`select set_product('bench', 'bench', 'gold', 100, 'USD', 'bench')`);
  await client.query(
    `insert into provider_events (id, occurred_at, tenant_id, provider, event_id, type, payload_hash, payload)
     select md5('event|' || n)::uuid, now(), 'bench', 'bench', 'event-' || n, 'ON_ORDER_COMPLETED', sha256(int8send(n)),
            jsonb_build_object('orderId', 'order-' || n, 'uid', md5('owner|' || n % $1)::uuid, 'lines', jsonb_build_array(jsonb_build_object('productId', 'gold', 'quantity', 1)))
       from generate_series(1, $2::bigint) n`,
    [wallets, events],
  );
  await client.query('vacuum (analyze) provider_events');
}

/** A long export of the site's month, to be built; returns its id. */
export async function askForExport(client: pg.Client, site: string, month: string): Promise<string> {
  const { rows } = await client.query(
    `select request_dispute_export(month_state($1, $2), 'bench') ->> 'export_id' id`,
    [site, month],
  );
  return rows[0].id;
}

/** A Postgres of its own with all migrations, as the master of a new cluster owns it, and what surrounds it. */
export async function openBench() {
  const directory = await mkdtemp(join(tmpdir(), 'kernel-bench-'));
  const masterPassword = randomUUID();
  const postgres = await startPostgres({ directory, masterPassword });
  const surroundings = await surround(
    { port: postgres.port, name: 'kernel', masterPassword },
    join(directory, 's3'),
  );
  const client = new pg.Client({ connectionString: postgres.superuserUrl });
  await client.connect();
  const folder = join(import.meta.dirname, '../migrations');
  for (const name of (await readdir(folder)).filter((file) => /^\d{4}_/.test(file)).sort())
    for (const statement of split(await readFile(join(folder, name), 'utf8'))) await client.query(statement);
  await client.query(`grant execute on all functions in schema public to ${MASTER}`); // the superuser owns them here
  return {
    ...surroundings,
    client,
    async connect() {
      const another = new pg.Client({ connectionString: postgres.superuserUrl });
      await another.connect();
      return another;
    },
    async close() {
      await client.end();
      await surroundings.close();
      await postgres.stop();
      for (const path of [directory, postgres.home]) await rm(path, { recursive: true, force: true });
    },
  };
}
