// Every deployed bundle runs in the embedded Lambda: it loads, answers its event, and knows and may no more than its role.
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ExecuteStatementCommand, RDSDataClient } from '@aws-sdk/client-rds-data';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { openStack, type TestStack } from '../support/stack.ts';

const dist = join(import.meta.dirname, '../../dist');
const entries = [
  ...([
    'api',
    'assure',
    'backfill',
    'cleanup',
    'deliver',
    'export',
    'freeze',
    'ingest',
    'match',
    'migrate',
    'money',
    'process',
    'reconcile',
    'recover',
    'sweep',
  ] as const),
  'watchtower',
  'webhook',
] as const;
type Entry = (typeof entries)[number];
const ingest_bytes_max = 500 * 1024;

/** Put around a bundle: an event of ours is answered with what the function sees, every other one by the bundle. */
const probe = `import { handler as bundled } from './bundle.mjs';
export const handler = (event, context) => (event?.probe ? { ...process.env } : bundled(event, context));`;

let stack: TestStack;
const assembly = mkdtempSync(join(tmpdir(), 'kernel-bundles-'));
beforeAll(async () => {
  cpSync(inject('assembly'), assembly, { recursive: true });
  for (const name of assets()) {
    renameSync(join(assembly, name, 'index.mjs'), join(assembly, name, 'bundle.mjs'));
    writeFileSync(join(assembly, name, 'index.mjs'), probe);
  }
  stack = await openStack({ assembly });
});
afterAll(async () => {
  await stack?.close();
  for (const folder of [assembly, stack?.postgres.home ?? ''])
    rmSync(folder, { recursive: true, force: true });
});

const invoke = async (entry: Entry, event: unknown) => {
  const result = await stack.functions.invoke(stack.functionName(entry), event);
  return result.ok ? result.value : result;
};

describe('a bundle', () => {
  test('exists for each function of the template and for no other', () => {
    expect(readdirSync(dist).sort()).toEqual([...entries, 'console', 'sources.sha256', 'tracker'].sort());
    expect(assets()).toHaveLength(entries.length);
    for (const entry of entries) expect(stack.functions.has(stack.functionName(entry))).toBe(true);
  });

  test('of ingest answers a preflight and an event', async () => {
    const origin = 'https://example.com';
    expect(await invoke('ingest', http('OPTIONS', '/api/sync', { origin }))).toMatchObject({
      statusCode: 200,
      headers: { 'access-control-allow-methods': 'POST, OPTIONS' },
    });
    const { public_id: s } = await stack.site();
    const body = { s, url: `${origin}/`, ec: 'page', ea: 'view', i: 'bundle' };
    const answer = await invoke('ingest', http('POST', '/api/sync', { origin }, body));
    expect(answer).toMatchObject({ statusCode: 200 });
    expect(JSON.parse((answer as { body: string }).body)).toMatchObject({ ok: true, status: 'queued' });
  });

  test('of api answers its health', async () => {
    const answer = await invoke('api', http('GET', '/api/health'));
    expect(answer).toMatchObject({ statusCode: 200, headers: { 'cache-control': 'no-store' } });
    expect(JSON.parse((answer as { body: string }).body)).toMatchObject({ ok: true, status: 'healthy' });
  });

  test('of api is reached outside of /api for the description of the API, and for nothing else', async () => {
    const built = async (path: string) =>
      (await fetch(`${stack.url}${path}`)).headers.get('x-opsmantik-version') !== null;
    expect(await built('/openapi.json')).toBe(true);
    expect(await built('/openapi.yaml')).toBe(false);
  });

  test('of deliver reports the message that it cannot read, and no other', async () => {
    expect(await invoke('deliver', { Records: [] })).toEqual({ batchItemFailures: [] });
    const good = JSON.stringify({ batch_id: '00000000-0000-4000-8000-000000000000' });
    const records = [
      { messageId: 'bogus', body: 'bogus' },
      { messageId: 'good', body: good },
    ];
    expect(await invoke('deliver', { Records: records })).toEqual({
      batchItemFailures: [{ itemIdentifier: 'bogus' }],
    });
  });

  test('of recover finds nothing to move', async () => {
    await stack.delivered();
    expect(await invoke('recover', {})).toEqual({
      ok: true,
      claimed: 0,
      recovered: 0,
      retried: 0,
      failed: 0,
    });
  });

  test('of reconcile and of freeze find nothing amiss', async () => {
    expect(await invoke('reconcile', {})).toMatchObject({ ok: true, failed: 0 });
    expect(await invoke('freeze', {})).toMatchObject({ ok: true, failed: 0 });
  });

  test('of migrate finds nothing to do, and leaves the passwords as they are', async () => {
    expect(await invoke('migrate', {})).toMatchObject({ ok: true, applied: [] });
    expect(await invoke('recover', {})).toMatchObject({ ok: true });
  });

  test('of ingest, the one on the hot path, is at most 500 KB', () => {
    expect(statSync(join(dist, 'ingest', 'index.mjs')).size).toBeLessThanOrEqual(ingest_bytes_max);
  });
});

describe('the environment of a function', () => {
  const base = [
    'COMMIT_BRANCH',
    'COMMIT_SHA',
    'KERNEL_VERSION',
    'POWERTOOLS_METRICS_NAMESPACE',
    'POWERTOOLS_SERVICE_NAME',
    'STAGE',
    'DATABASE_CLUSTER_ARN',
    'DATABASE_NAME',
    'DATABASE_SECRET_ARN',
    'LEDGER_ACCESS',
  ];
  const own: Record<Entry, string[]> = {
    api: [
      ...['CRON_SECRET_ARN', 'EVIDENCE_BUCKET', 'EXPORT_BUCKET', 'EXPORT_QUEUE_URL'],
      ...['TOKEN_CLIENT_ID', 'TOKEN_ISSUER', 'USAGE_TABLE'],
    ],
    cleanup: [
      ...['CRON_SECRET_ARN', 'DISPUTE_WINDOW_DAYS', 'EVENTS_RETENTION_DAYS', 'EVIDENCE_BUCKET'],
      'PERSONAL_DATA_DAYS',
    ],
    deliver: [],
    export: ['EVIDENCE_BUCKET', 'EXPORT_BUCKET'],
    freeze: ['CRON_SECRET_ARN'],
    ingest: ['DELIVERY_QUEUE_URL', 'RATE_LIMIT_TABLE', 'USAGE_TABLE'],
    migrate: ['ROLE_SECRET_ARNS'],
    money: ['MATCH_QUEUE_URL', 'PROVIDER_SECRET_ARNS', 'TOKEN_CLIENT_ID', 'TOKEN_ISSUER'],
    webhook: ['PAYMENT_QUEUE_URL', 'PROVIDER_SECRET_ARNS'],
    process: ['API_URL', 'CRON_SECRET_ARN', 'PROVIDER_SECRET_ARNS'],
    match: ['CRON_SECRET_ARN', 'PAYMENT_QUEUE_URL', 'PROVIDER_SECRET_ARNS'],
    reconcile: ['CRON_SECRET_ARN', 'USAGE_TABLE'],
    recover: ['CRON_SECRET_ARN'],
    assure: ['TOKEN_CLIENT_ID', 'TOKEN_ISSUER'],
    backfill: ['TOKEN_CLIENT_ID', 'TOKEN_ISSUER'],
    sweep: ['CRON_SECRET_ARN'],
    watchtower: ['API_URL', 'CRON_SECRET_ARN', 'DEAD_LETTER_QUEUE_URLS', 'USAGE_TABLE'],
  };
  const ours =
    /^(API|COMMIT|CRON|DATABASE|DEAD|DELIVERY|DISPUTE|EVENTS|EVIDENCE|EXPORT|KERNEL|LEDGER|MATCH|PAYMENT|PERSONAL|PROVIDER|RATE|ROLE|STAGE|TOKEN|USAGE|POWERTOOLS_(SERVICE_NAME|METRICS_NAMESPACE))/;

  test.each(entries)('%s holds what it needs and nothing of another', async (entry) => {
    const names = Object.keys(await environment(entry)).filter((name) => ours.test(name));
    expect(names.sort()).toEqual([...base, ...own[entry]].sort());
  });

  test('tells watchtower where the API answers and where each dead-letter queue is', async () => {
    const { API_URL, DEAD_LETTER_QUEUE_URLS = '' } = await environment('watchtower');
    expect(API_URL).toBe(stack.url);
    const queue = (name: string) => stack.resource('AWS::SQS::Queue', name).ref;
    expect(JSON.parse(DEAD_LETTER_QUEUE_URLS)).toEqual({
      delivery: queue('DeliveryDeadLetters'),
      export: queue('ExportDeadLetters'),
      'failed-invocations': queue('FailedInvocations'),
      payments: queue('PaymentsEventsDeadLetters'),
      runs: queue('PaymentsRunsDeadLetters'),
      schedules: queue('SchedulesDeadLetters'),
    });
  });

  test('leads every client to the door, S3 as well', async () => {
    for (const entry of entries) {
      const own = await environment(entry);
      for (const service of ['DYNAMODB', 'RDS_DATA', 'S3', 'SECRETS_MANAGER', 'SQS'])
        expect(own[`AWS_ENDPOINT_URL_${service}`]).toBe(stack.door.url);
    }
  });

  test('names an access key of its own', async () => {
    const keys = await Promise.all(
      entries.map(async (entry) => (await environment(entry)).AWS_ACCESS_KEY_ID),
    );
    expect(new Set(keys).size).toBe(entries.length);
    expect(keys).not.toContain(undefined);
  });
});

describe('the database role of a function', () => {
  test.each<[Entry, string]>([
    ['ingest', 'kernel_ingest'],
    ['deliver', 'kernel_deliver'],
    ['recover', 'kernel_deliver'],
    ['reconcile', 'kernel_jobs'],
    ['freeze', 'kernel_jobs'],
    ['cleanup', 'kernel_jobs'],
    ['watchtower', 'kernel_jobs'],
    ['assure', 'kernel_jobs'],
    ['backfill', 'kernel_jobs'],
    ['sweep', 'kernel_jobs'],
    ['export', 'kernel_jobs'],
    ['api', 'kernel_api'],
    ['money', 'kernel_money'],
    ['webhook', 'kernel_webhook'],
    ['process', 'kernel_jobs'],
    ['match', 'kernel_jobs'],
    ['migrate', 'kernel_master'],
  ])('%s is %s', async (entry, role) => {
    const { records } = await execute(entry, 'select session_user::text');
    expect(records).toEqual([[{ stringValue: role }]]);
  });

  test('lets ingest deliver nothing, and deliver ingest nothing', async () => {
    expect((await execute('deliver', 'select * from recover(1)')).records).toHaveLength(1);
    await expect(execute('ingest', 'select * from recover(1)')).rejects.toThrow('SQLState: 42501');
    await expect(execute('ingest', 'select 1 from events')).rejects.toThrow('SQLState: 42501');
    await expect(execute('deliver', 'select kernel_health()::text')).rejects.toThrow('SQLState: 42501');
    await expect(execute('api', 'select * from recover(1)')).rejects.toThrow('SQLState: 42501');
  });
});

/** The folders of bundles in the assembly. */
function assets(): string[] {
  return readdirSync(assembly).filter(
    (name) => name.startsWith('asset.') && existsSync(join(assembly, name, 'index.mjs')),
  );
}

async function environment(entry: Entry): Promise<Record<string, string>> {
  return (await invoke(entry, { probe: true })) as Record<string, string>;
}

/** Runs a statement with the endpoint, the key and the secret that the function itself has. */
async function execute(entry: Entry, sql: string) {
  const own = await environment(entry);
  const client = new RDSDataClient({
    endpoint: own.AWS_ENDPOINT_URL_RDS_DATA ?? '',
    region: own.AWS_REGION ?? '',
    credentials: {
      accessKeyId: own.AWS_ACCESS_KEY_ID ?? '',
      secretAccessKey: own.AWS_SECRET_ACCESS_KEY ?? '',
    },
  });
  return client.send(
    new ExecuteStatementCommand({
      resourceArn: own.DATABASE_CLUSTER_ARN,
      secretArn: own.DATABASE_SECRET_ARN,
      database: own.DATABASE_NAME,
      sql,
    }),
  );
}

/** A request as API Gateway hands it to a function. */
function http(method: string, path: string, headers: Record<string, string> = {}, body?: object) {
  return {
    version: '2.0',
    routeKey: `${method} ${path}`,
    rawPath: path,
    rawQueryString: '',
    headers,
    requestContext: {
      http: { method, path, sourceIp: '192.0.2.1', userAgent: 'test', protocol: 'HTTP/1.1' },
    },
    isBase64Encoded: false,
    ...(body && { body: JSON.stringify(body) }),
  };
}
