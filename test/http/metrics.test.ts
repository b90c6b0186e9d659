// The counters: every outcome counts once, over several instances and across a restart of the functions, in both forms, for those who may ask.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { demoUsers } from '../../local/issuer.ts';
import { openRig, type Rig } from '../faults/rig.ts';
import { roomInWindow } from '../support/rate.ts';
import type { JsonAnswer, TestStack } from '../support/stack.ts';

const rate_limit = 60;

let rig: Rig;
let stack: TestStack;
let secret: string;
let site: { id: string; public_id: string };
beforeAll(async () => {
  rig = await openRig();
  stack = rig.stack;
  secret = stack.state.secret(
    stack.resource('AWS::SecretsManager::Secret', 'CronSecret').ref.split(':').at(-1) ?? '',
  );
});
afterAll(() => rig?.close());
beforeEach(async () => {
  await rig.heal();
  const plan = { monthly_limit: '20', soft_limit_enabled: true, hard_cap_multiplier: '1.5' };
  site = (
    await stack.admin('POST', '/sites', {
      name: 'Metrics',
      origins: ['https://example.com'],
      rate_limit,
      plan,
    })
  ).body;
});

describe('each outcome counts once', () => {
  test('in one batch that has them all', async () => {
    await expectAdded({ allowed: 3, duplicate: 2, conflict: 1, invalid: 2 }, async () => {
      const s = site.public_id;
      const events = [
        event('a'),
        event('b'),
        event('c'),
        event('a'),
        event('b'),
        event('c', 'other'),
        { s, i: 'd' },
        { s, i: 'e' },
      ];
      const { body } = await stack.sync({ events });
      expect(body.results.map(({ status }: { status: string }) => status)).toEqual(
        'queued queued queued duplicate duplicate conflict invalid invalid'.split(' '),
      );
    });
  });

  test('beyond the limit, and beyond the cap', async () => {
    await expectAdded({ allowed: 30, overage: 10, rejected_quota: 5 }, async () => {
      await stack.sync({ events: Array.from({ length: 35 }, (_, n) => event(`e${n}`)) });
    });
  });

  test('beyond the rate limit, where no event is read', async () => {
    await roomInWindow(20);
    await expectAdded({ allowed: 1, duplicate: rate_limit - 1, rate_limited: 7 }, async () => {
      for (let n = 0; n < rate_limit + 7; n++) await stack.sync(event('same'));
    });
  });

  test('when the queue does not take the message: the events are degraded, and one publish failed', async () => {
    const before = await figures();
    await rig.arm([
      {
        caller: stack.functionName('ingest'),
        service: 'sqs',
        operation: 'SendMessage',
        point: 'before',
        times: 10,
        effect: { kind: 'error', error: 'ServiceUnavailable', status: 503 },
      },
    ]);
    await expectAdded({ allowed: 4, degraded: 4 }, async () => {
      const { status, headers } = await stack.sync({ events: ['a', 'b', 'c', 'd'].map((id) => event(id)) });
      expect([status, headers.get('x-opsmantik-degraded')]).toEqual([
        200,
        expect.stringContaining('queue_publish_failed'),
      ]);
    });
    await rig.heal();
    const waiting = await figures();
    expect(waiting.ingest_publish_failures_total).toBe((before.ingest_publish_failures_total ?? 0) + 1);
    expect(waiting.ingest_outbox_waiting).toBe((before.ingest_outbox_waiting ?? 0) + 4);
    await fetch(`${stack.url}/api/cron/recover`, { headers: { authorization: `Bearer ${secret}` } });
    expect((await figures()).ingest_outbox_waiting).toBe(before.ingest_outbox_waiting);
  });

  test('over instances that work at the same time, and across the death of all of them', async () => {
    const ids = Array.from({ length: 8 }, (_, n) => `e${n}`);
    const sendAll = () => Promise.all(ids.map((id) => stack.sync(event(id))));
    await roomInWindow(15);
    await expectAdded({ allowed: 8, duplicate: 16 }, async () => {
      await sendAll();
      await sendAll();
      for (const name of ['ingest', 'deliver', 'api'])
        await stack.functions.terminate(stack.functionName(name));
      await sendAll();
    });
  });
});

describe('runs of jobs count', () => {
  test('by job, and those of reconciliation by their old names too', async () => {
    const before = await read();
    for (const path of ['reconcile-usage', 'recover', 'recover'])
      await fetch(`${stack.url}/api/cron/${path}`, { headers: { authorization: `Bearer ${secret}` } });
    const after = await read();
    const runs = (answer: JsonAnswer, name: string) =>
      Number(answer.body.jobs.find(({ job }: { job: string }) => job === name).runs_ok);
    expect(runs(after, 'recover')).toBe(runs(before, 'recover') + 2);
    expect(runs(after, 'reconcile')).toBe(runs(before, 'reconcile') + 1);
    expect(after.body.billing_reconciliation_runs_ok_total).toBe(runs(after, 'reconcile'));
    expect(after.body.billing_reconciliation_runs_failed_total).toBe(0);
  });
});

describe('the answer', () => {
  test('as JSON has each counter flat, and those of billing by topic', async () => {
    const { status, body } = await read();
    expect(status).toBe(200);
    expect(body.ok).toBe(true);
    for (const topic of ['ingest', 'reconciliation']) {
      const entries = Object.entries(body.billing[topic]);
      expect(entries.length).toBeGreaterThan(2);
      for (const [name, value] of entries)
        expect(body[`billing_${topic}_${name}_total`] ?? body[`billing_${topic}_${name}`], name).toBe(value);
    }
  });

  test('as text is what Prometheus reads: help, type and then samples of each metric, with the figures of the JSON form', async () => {
    const [{ body: json }, response] = [
      await read(),
      await ask({ accept: 'text/plain;version=0.0.4', authorization: `Bearer ${secret}` }),
    ];
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    const text = await response.text();
    expect(text.endsWith('\n')).toBe(true);
    const samples = parse(text.slice(0, -1).split('\n'));
    const plain = Object.fromEntries(Object.entries(json).filter(([, value]) => typeof value === 'number'));
    expect(Object.keys(plain).length).toBeGreaterThan(14);
    for (const [name, value] of Object.entries(plain)) expect(samples.get(name), name).toBe(value);
    for (const { job, runs_ok, runs_failed, missed } of json.jobs) {
      expect(samples.get(`kernel_job_runs_ok_total{job="${job}"}`)).toBe(Number(runs_ok));
      expect(samples.get(`kernel_job_runs_failed_total{job="${job}"}`)).toBe(Number(runs_failed));
      expect(samples.get(`kernel_job_missed{job="${job}"}`)).toBe(missed ? 1 : 0);
    }
    expect(samples.size).toBe(Object.keys(plain).length + 3 * json.jobs.length);
  });

  test('leaves out what it does not know while the table is away, and never says 0 for it', async () => {
    const caller = stack.functionName('api');
    await rig.arm([
      {
        caller,
        service: 'dynamodb',
        operation: 'Scan',
        point: 'before',
        times: 20,
        effect: { kind: 'error', error: 'InternalServerError', status: 500 },
      },
    ]);
    const [{ body }, text] = [
      await read(),
      await (await ask({ accept: 'text/plain', authorization: `Bearer ${secret}` })).text(),
    ];
    await rig.heal();
    expect(body).toMatchObject({
      ok: true,
      billing_ingest_duplicate_total: null,
      billing_ingest_allowed_total: expect.any(Number),
    });
    expect(text).not.toContain('billing_ingest_duplicate_total');
    expect(text).toContain('\nbilling_ingest_allowed_total ');
  });

  test('is for the cron secret and for platform admins', async () => {
    const token = async (role: string) =>
      `Bearer ${await stack.issuer.token(demoUsers.find((user) => user.role === role) as (typeof demoUsers)[0])}`;
    expect((await ask({ authorization: await token('platform-admin') })).status).toBe(200);
    for (const role of ['owner', 'admin', 'billing', 'finance'])
      expect((await ask({ authorization: await token(role) })).status, role).toBe(403);
    for (const headers of [
      {},
      { authorization: 'Bearer wrong' },
      { authorization: 'Bearer ' },
      { authorization: secret },
    ])
      expect([401, 403]).toContain((await ask(headers as Record<string, string>)).status);
  });
});

const event = (i: string, el = 'same') => ({ s: site.public_id, i, url: 'https://example.com/', el });

const ask = (headers: Record<string, string>) => fetch(`${stack.url}/api/metrics`, { headers });

async function read(): Promise<JsonAnswer> {
  const response = await ask({ authorization: `Bearer ${secret}` });
  return { status: response.status, body: await response.json() };
}

async function figures(): Promise<Record<string, number>> {
  await stack.delivered();
  return (await read()).body;
}

/** Exactly these counters of ingest went up, by so much. */
async function expectAdded(wanted: Record<string, number>, work: () => Promise<void>): Promise<void> {
  const { ingest: before } = (await read()).body.billing;
  await work();
  const { ingest: after } = (await read()).body.billing;
  const added = Object.keys(after).map((name) => [name, after[name] - before[name]] as const);
  expect(Object.fromEntries(added.filter(([, more]) => more !== 0))).toEqual(wanted);
}

/** The samples of a text exposition, by name and labels; each metric is announced once, before its samples. */
function parse(lines: string[]): Map<string, number> {
  const samples = new Map<string, number>();
  const types = new Map<string, string>();
  let current = '';
  for (const line of lines) {
    const help = /^# HELP ([a-z_:][a-z0-9_:]*) \S.*$/.exec(line)?.[1];
    const [, typed, type] = /^# TYPE ([a-z_:][a-z0-9_:]*) (counter|gauge)$/.exec(line) ?? [];
    const [, sample, name, value] = /^(([a-z_:][a-z0-9_:]*)(?:\{job="[a-z_]+"\})?) (\d+)$/.exec(line) ?? [];
    expect(help ?? typed ?? sample, line).toBeDefined();
    if (help) current = help;
    if (typed && type) {
      expect([typed, types.has(typed), type]).toEqual([
        current,
        false,
        typed.endsWith('_total') ? 'counter' : 'gauge',
      ]);
      types.set(typed, type);
    }
    if (sample && name) {
      expect([name, types.has(name), samples.has(sample)]).toEqual([current, true, false]);
      samples.set(sample, Number(value));
    }
  }
  return samples;
}
