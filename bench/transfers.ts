// What does the double entry cost? transfer() against `balance += x`, and against pgledger where LEDGER_SQL names the folder of its files, in the same Postgres.
import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { createDatabase, startPostgres } from '../local/postgres/postgres.ts';
import { split } from '../shared/migration.ts';
import { measure, report, table, type Variant } from './measure.ts';

const accounts_count = 1_000;
const clients_count = 8;
const batch = 100;

const directory = await mkdtemp(join(tmpdir(), 'kernel-bench-'));
const postgres = await startPostgres({ directory, masterPassword: 'bench' });
const clients = await Promise.all(Array.from({ length: clients_count }, () => connect()));
const [first] = clients as [pg.Client];
await migrate(first);
const accounts: string[] = (
  await first.query(
    `select open_account('bench', gen_random_uuid(), 'USD', 'available', '', true, null) id from generate_series(1, $1)`,
    [accounts_count],
  )
).rows.map(({ id }) => id);
const revenue: string = (await first.query(`select open_account('bench', null, 'USD', 'revenue') id`)).rows[0]
  .id;
await first.query(
  'create table plain_accounts (id uuid primary key, balance bigint not null) with (fillfactor = 50)',
);
await first.query('insert into plain_accounts select unnest($1::uuid[]), 0', [[...accounts, revenue]]);
await first.query(`create function plain_transfer(p_from uuid, p_to uuid, p_amount bigint) returns void language plpgsql as $$
  begin
    update plain_accounts set balance = balance - p_amount where id = p_from and p_from < p_to;
    update plain_accounts set balance = balance + p_amount where id = p_to;
    update plain_accounts set balance = balance - p_amount where id = p_from and p_from > p_to;
  end $$`);
await first.query('vacuum analyze');

type Pick = () => [from: string, to: string];
const at = (n: number) => accounts[n] ?? revenue;
const anyOne = () => Math.floor(Math.random() * accounts_count);
const weights = accounts
  .map((_, n) => 1 / (n + 1))
  .map((_, n, all) => all.slice(0, n + 1).reduce((sum, w) => sum + w, 0));
const zipfOne = () => {
  const drawn = Math.random() * (weights.at(-1) ?? 1);
  return weights.findIndex((upto) => upto >= drawn);
};
const two =
  (draw: () => number): Pick =>
  () => {
    const from = draw();
    const to = draw();
    return [at(from), at(from === to ? (to + 1) % accounts_count : to)];
  };
const picks: Record<string, Pick> = {
  'uniform accounts': two(anyOne),
  'Zipf accounts': two(zipfOne),
  'one hot credit account': () => [at(anyOne()), revenue],
};

const pgledger = process.env.LEDGER_SQL ? await openPgledger(process.env.LEDGER_SQL) : undefined;

const variants: Variant[] = Object.entries(picks).flatMap(([name, pick]) => [
  { name: `balance += x, ${name}`, run: (ms: number) => drive(ms, (client) => plain(client, pick)) },
  {
    name: `transfer, ${name}`,
    run: (ms: number) => drive(ms, (client) => single(client, pick)),
    against: `balance += x, ${name}`,
  },
  {
    name: `transfer_batch of ${batch}, ${name}`,
    run: (ms: number) => drive(ms, (client) => many(client, pick)),
    against: `balance += x, ${name}`,
  },
  ...(pgledger ? [pgledger.variant(name, pick)] : []),
]);
const results = await measure(variants);
const { rows } = await first.query(
  `select (sum(pg_total_relation_size(c.oid)) / (select count(*) from transfers))::int bytes from pg_class c
    where c.oid in ('transfers'::regclass, 'entries'::regclass, 'idempotency_keys'::regclass)`,
);
await first.query('select fold_accounts()');
const broken = (await first.query('select * from check_money() where violations <> 0')).rows;
report(
  'transfers',
  `Transfers per second by ${clients_count} clients, fsync on: one call of \`transfer()\` (key, locks, entries with balance and version, stored answer, commit), or of \`transfer_batch()\` with ${batch}, against one call that only does \`balance += x\` twice. A ratio is the median of paired slices.`,
  `${table(
    ['variant', 'transfers/s', 'ratio'],
    results.map(({ name, per_second, ratio }) => [
      name,
      Math.round(per_second).toLocaleString('en'),
      ratio === undefined ? '' : ratio.toFixed(2),
    ]),
  )}\n\nA transfer takes ${rows[0].bytes} bytes with its entries, its key and all indexes. ${pgledger ? `pgledger's ratio is to \`transfer()\`, though it keeps no key and no answer of a call. The other way round:\n\n${againstPgledger()}\n\n` : 'pgledger was not measured: `LEDGER_SQL` named no folder of its SQL files. '}Invariants broken afterwards: ${broken.length}.`,
);
await pgledger?.close();
await Promise.all(clients.map((client) => client.end()));
await postgres.stop();
await rm(directory, { recursive: true, force: true });

/** How many times its transfers ours are, beside what the design asks for. */
function againstPgledger(): string {
  const least: Record<string, number> = { 'uniform accounts': 1.5, 'one hot credit account': 3 };
  const ratioOn = (name: string) => results.find((one) => one.name === `pgledger, ${name}`)?.ratio ?? 0;
  return table(
    ['transfer against pgledger', 'ratio', 'at least'],
    Object.keys(picks).map((name) => [name, (1 / ratioOn(name)).toFixed(1), least[name]?.toFixed(1) ?? '']),
  );
}

async function connect(database = 'kernel'): Promise<pg.Client> {
  const url = new URL(postgres.superuserUrl);
  url.pathname = `/${database}`;
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  return client;
}

async function migrate(client: pg.Client): Promise<void> {
  const folder = join(import.meta.dirname, '../migrations');
  const names = (await readdir(folder)).filter((name) => /^\d{4}_/.test(name)).sort();
  for (const name of names)
    for (const statement of split(await readFile(join(folder, name), 'utf8'))) await client.query(statement);
}

/** Its files, in the order of their names, in a database beside ours with as many accounts. */
async function openPgledger(folder: string) {
  await createDatabase(postgres.superuserUrl, 'pgledger');
  const theirs = await Promise.all(Array.from({ length: clients_count }, () => connect('pgledger')));
  const [owner] = theirs as [pg.Client];
  for (const name of (await readdir(folder)).filter((file) => file.endsWith('.sql')).sort())
    await owner.query(await readFile(join(folder, name), 'utf8'));
  const ids = new Map<string, string>();
  for (const ours of [...accounts, revenue]) {
    const { rows: made } = await owner.query(`select id from pgledger_create_account($1, 'USD')`, [ours]);
    ids.set(ours, made[0].id);
  }
  await owner.query('vacuum analyze');
  const text = 'select id from pgledger_create_transfer($1, $2, 5)';
  return {
    variant: (name: string, pick: Pick): Variant => ({
      name: `pgledger, ${name}`,
      run: (ms) =>
        drive(
          ms,
          async (client) => {
            const values = pick().map((id) => ids.get(id));
            await client.query({ name: 'pgledger', text, values });
            return 1;
          },
          theirs,
        ),
      against: `transfer, ${name}`,
    }),
    close: () => Promise.all(theirs.map((client) => client.end())),
  };
}

/** Lets the clients work side by side until the time is over; each step returns how many transfers it made. */
async function drive(
  ms: number,
  step: (client: pg.Client) => Promise<number>,
  working: pg.Client[] = clients,
): Promise<number> {
  const end = performance.now() + ms;
  const done = await Promise.all(
    working.map(async (client) => {
      let transfers = 0;
      while (performance.now() < end) transfers += await step(client);
      return transfers;
    }),
  );
  return done.reduce((sum, transfers) => sum + transfers, 0);
}

async function plain(client: pg.Client, pick: Pick): Promise<number> {
  await client.query({ name: 'plain', text: 'select plain_transfer($1, $2, 5)', values: pick() });
  return 1;
}

function movement([from, to]: [string, string]): string {
  return `{"kind":"payment","entries":[{"account_id":"${from}","direction":"debit","amount_minor":"5"},{"account_id":"${to}","direction":"credit","amount_minor":"5"}]}`;
}

async function single(client: pg.Client, pick: Pick): Promise<number> {
  return answered(client, 'transfer', movement(pick()), 1);
}

async function many(client: pg.Client, pick: Pick): Promise<number> {
  return answered(
    client,
    'transfer_batch',
    `{"movements":[${Array.from({ length: batch }, () => movement(pick())).join()}]}`,
    batch,
  );
}

async function answered(client: pg.Client, verb: string, body: string, count: number): Promise<number> {
  const { rows: answers } = await client.query({
    name: verb,
    text: `select ${verb}('bench', 'bench', $1, $2) ->> 'outcome' outcome`,
    values: [randomUUID(), body],
  });
  if (answers[0].outcome !== 'done') throw new Error(`A ${verb} was not done.`);
  return count;
}
