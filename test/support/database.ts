// A fresh, migrated database for a test file, and connections to it as any role.
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import { createDatabase } from '../../local/postgres/postgres.ts';

export const ingest_call = `select * from ingest($1::uuid, gen_random_uuid(), $2::jsonb, 'request', '192.0.2.1', 'agent')`;

export interface TestDatabase {
  url: string;
  /** Superuser, for planting and looking; counts come as strings. */
  superuser: pg.Client;
  /** A connection whose session user is the role. */
  as(role: string): Promise<pg.Client>;
  /** A connection of the superuser beside the first, for concurrency. */
  connect(): Promise<pg.Client>;
  /** Creates a site, with a plan when a limit is given; returns its id. */
  site(limit?: bigint, plan?: { soft?: boolean; multiplier?: string }): Promise<string>;
  close(): Promise<void>;
}

export async function openDatabase(template = 'kernel_template'): Promise<TestDatabase> {
  const superuserUrl = inject('superuserUrl');
  const name = `test_${randomBytes(6).toString('hex')}`;
  await createDatabase(superuserUrl, name, template);
  const target = new URL(superuserUrl);
  target.pathname = `/${name}`;
  const url = target.href;
  const clients: pg.Client[] = [];
  const connect = async () => {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined); // the server may be stopped under it
    await client.connect();
    clients.push(client);
    return client;
  };
  const superuser = await connect();
  return {
    url,
    superuser,
    connect,
    async as(role) {
      const client = await connect();
      await client.query(`set session authorization ${pg.escapeIdentifier(role)}`);
      return client;
    },
    async site(limit, plan = {}) {
      const { rows } = await superuser.query<{ id: string }>(
        `insert into sites (public_id, name) values ('s_' || substr(md5(random()::text), 1, 16), 'test') returning id`,
      );
      const id = rows[0]?.id ?? '';
      if (limit !== undefined) {
        await superuser.query(
          `insert into site_plans (site_id, monthly_limit, soft_limit_enabled, hard_cap_multiplier) values ($1, $2, $3, $4)`,
          [id, limit, plan.soft ?? false, plan.multiplier ?? '2'],
        );
      }
      return id;
    },
    async close() {
      await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
      const admin = new pg.Client({ connectionString: superuserUrl });
      await admin.connect();
      await admin.query(`drop database if exists ${pg.escapeIdentifier(name)} with (force)`);
      await admin.end();
    },
  };
}

/** An event with a client's id, as ingest takes it; equal contents have equal hashes. */
export function v3(id: string, content = 'same'): Record<string, unknown> {
  return {
    key: hex(id, 16),
    version: 3,
    hash: hex(content, 32),
    payload: { i: id, url: 'https://example.com/', el: content },
  };
}

/** An event without an id: its key stands for content and bucket. */
export function v1(key: string, previous?: string, bucket_ms = 5_000): Record<string, unknown> {
  return {
    key: hex(key, 32),
    ...(previous && { previous: hex(previous, 32), bucket_ms }),
    version: 1,
    payload: { url: 'https://example.com/' },
  };
}

function hex(text: string, bytes: number): string {
  return Buffer.from(text.padEnd(bytes, '\u0001')).subarray(0, bytes).toString('hex');
}

export interface IngestRow {
  used: string;
  quota: string;
  remaining: string;
  month: string;
  admitted: string;
  as_of: string | null;
  retry_after_s: string;
  results: [string, string | null][];
}

export async function ingest(
  client: pg.Client,
  site: string,
  events: Record<string, unknown>[],
): Promise<IngestRow> {
  const { rows } = await client.query<IngestRow>({
    name: 'ingest',
    text: ingest_call,
    values: [site, JSON.stringify(events)],
  });
  return rows[0] as IngestRow;
}

/** The outcomes of a batch, in order. */
export async function outcomes(
  client: pg.Client,
  site: string,
  events: Record<string, unknown>[],
): Promise<string[]> {
  return (await ingest(client, site, events)).results.map(([outcome]) => outcome);
}
