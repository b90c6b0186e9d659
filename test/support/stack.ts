// The embedded stack for a test file: real engines in a temporary folder, and the calls that tests make of it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { inject } from 'vitest';
import { demoUsers } from '../../local/issuer.ts';
import { type LocalOptions, type LocalStack, startLocal } from '../../local/start.ts';
import { copyMigratedStack } from './migrated-stack.ts';

export interface TestStack extends LocalStack {
  directory: string;
  /** Superuser, for looking and planting. */
  database: pg.Client;
  /** The functions' log lines so far, parsed where they are JSON. */
  logs: Record<string, unknown>[];
  /** POST /api/sync with the demo origin, unless other headers are given. */
  sync(body: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** A call of the admin API with the token of a platform admin. */
  admin(method: string, path: string, body?: unknown): Promise<Answer>;
  /** Creates a site for https://example.com; returns its public id and id. */
  site(options?: {
    limit?: number;
    soft?: boolean;
    multiplier?: string;
    api_key?: boolean;
  }): Promise<{ id: string; public_id: string; api_key?: string }>;
  /** Resolves when every admitted event has been delivered. */
  delivered(): Promise<void>;
  counts(
    site: string,
  ): Promise<{ billable: number; usage: number; outbox: number; events: number; counter: number }>;
}

export interface JsonAnswer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests read fields of many shapes
  body: any;
}

export interface Answer extends JsonAnswer {
  headers: Headers;
}

export async function openStack(options: Partial<LocalOptions> = {}): Promise<TestStack> {
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'kernel-stack-')));
  if (options.directory === undefined) copyMigratedStack(inject('migratedStack'), directory);
  const logs: Record<string, unknown>[] = [];
  const stack = await startLocal({
    directory,
    assembly: inject('assembly'),
    fsync: false, // no test takes the machine's power away
    migrated: options.directory === undefined && options.assembly === undefined,
    onLog: ({ line }) => void logs.push(line.startsWith('{') ? JSON.parse(line) : { message: line }),
    ...options,
  });
  const database = new pg.Client({ connectionString: stack.postgres.superuserUrl });
  database.on('error', () => undefined); // a test may kill the server
  await database.connect();
  const token = await stack.issuer.token(
    demoUsers.find(({ role }) => role === 'platform-admin') as (typeof demoUsers)[0],
  );
  const call = callOf(stack.url);
  const admin: TestStack['admin'] = (method, path, body) =>
    call(method, `/api/admin${path}`, body, {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
    });
  return {
    ...stack,
    directory,
    database,
    logs,
    admin,
    sync: (body, headers = { origin: 'https://example.com', 'content-type': 'application/json' }) =>
      call('POST', '/api/sync', body, headers),
    async site({ limit = 1_000, soft = false, multiplier = '2', api_key = false } = {}) {
      const plan = {
        monthly_limit: String(limit),
        soft_limit_enabled: soft,
        hard_cap_multiplier: multiplier,
      };
      const { body } = await admin('POST', '/sites', {
        name: 'Test',
        origins: ['https://example.com'],
        plan,
        ...(api_key && { api_key }),
      });
      return body;
    },
    delivered: () => stack.eventSources.drained(),
    counts: (site) => countsOf(database, admin, site),
    async close() {
      await database.end().catch(() => undefined);
      await stack.close();
      if (options.directory) return;
      for (const folder of [directory, stack.postgres.home])
        await rm(folder, { recursive: true, force: true });
    },
  };
}

function callOf(url: string) {
  return async (
    method: string,
    path: string,
    body: unknown,
    headers: Record<string, string>,
  ): Promise<Answer> => {
    const text =
      body === undefined || typeof body === 'string' || body instanceof Uint8Array
        ? body
        : JSON.stringify(body);
    const response = await fetch(`${url}${path}`, {
      method,
      headers,
      ...(text !== undefined && { body: text }),
    });
    const answer = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: answer.startsWith('{') ? JSON.parse(answer) : answer,
    };
  };
}

async function countsOf(database: pg.Client, admin: TestStack['admin'], site: string) {
  const { rows } = await database.query(
    `select (select count(*)::int from ingest_idempotency where site_id = $1 and billable) billable,
            coalesce((select sum(event_count)::int from site_usage_monthly where site_id = $1), 0) usage,
            (select count(*)::int from ingest_fallback_buffer where site_id = $1) outbox,
            (select count(*)::int from events where site_id = $1) events`,
    [site],
  );
  const { body } = await admin('GET', `/sites/${site}/usage`);
  return { ...rows[0], counter: Number(body.counter?.used ?? 0) };
}
