// The production verification of the requirements, steps 1 to 6, with their very curl commands against the embedded stack.
import { execFileSync, spawn } from 'node:child_process';
import { DeleteQueueCommand, SQSClient } from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openStack, type TestStack } from '../support/stack.ts';

/** As the document has them, of steps 1, 4 (“POST same as above”), 5 and 6, and of step 2; step 3 is any of them. */
const post_event = `curl -s -D - -X POST "CONSOLE_URL/api/sync" \\
  -H "Content-Type: application/json" \\
  -H "Origin: ORIGIN" \\
  -d '{"s":"YOUR_SITE_PUBLIC_ID","url":"https://example.com","ec":"c","ea":"e","el":"l"}'`;
const post_url = `curl -s -D - -X POST "CONSOLE_URL/api/sync" \\
  -H "Content-Type: application/json" \\
  -H "Origin: ORIGIN" \\
  -d '{"s":"YOUR_SITE_PUBLIC_ID","url":"https://example.com"}'`;

const hasCurl = installed('curl');
const name = 'verification steps of the requirements, with curl';

let stack: TestStack;
beforeAll(async () => {
  if (hasCurl) stack = await openStack();
});
afterAll(() => stack?.close());

interface Answer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests read fields of many shapes
  body: any;
}

/** Runs the command in a shell, as a person would, with the three placeholders filled in. */
async function run(command: string, site: string): Promise<Answer> {
  const filled = command
    .replace('CONSOLE_URL', stack.url)
    .replace('ORIGIN', 'https://example.com')
    .replace('YOUR_SITE_PUBLIC_ID', site);
  const output = await new Promise<string>((resolve, reject) => {
    const child = spawn('sh', ['-c', filled], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    child.once('error', reject).once('close', () => resolve(text));
  });
  const [head = '', body = ''] = output.split('\r\n\r\n');
  const [statusLine = '', ...lines] = head.split('\r\n');
  const headers = new Headers(
    lines.map((line): [string, string] => [
      line.slice(0, line.indexOf(':')),
      line.slice(line.indexOf(':') + 1),
    ]),
  );
  return { status: Number(statusLine.split(' ')[1]), headers, body: JSON.parse(body) };
}

async function ledger(site: string) {
  const { rows } = await stack.database.query(
    `select l.billable, l.billing_state state, l.billing_reason reason, (select count(*)::int from ingest_fallback_buffer o where o.id = l.id) waiting
       from ingest_idempotency l where l.site_id = $1 order by l.id`,
    [site],
  );
  return rows;
}

describe.skipIf(!hasCurl)(hasCurl ? name : `${name}: skipped, for there is no curl here`, () => {
  test('1: the second of two equal requests within 5 s is a duplicate, and nothing is published for it', async () => {
    const { id, public_id } = await stack.site();
    const first = await run(post_event, public_id);
    const second = await run(post_event, public_id);
    expect([first.status, first.body.status]).toEqual([200, 'queued']);
    expect([second.status, second.body.status]).toEqual([200, 'duplicate']);
    expect(first.headers.get('x-opsmantik-dedup')).toBe('0');
    expect(second.headers.get('x-opsmantik-dedup')).toBe('1');
    await stack.delivered();
    expect(await stack.counts(id)).toMatchObject({ billable: 1, outbox: 0, events: 1 });
  });

  test('2: beyond 100 requests in 60 s it answers 429 with x-opsmantik-ratelimit, and the ledger has no row of it', async () => {
    const { id, public_id } = await stack.site();
    let before = 0;
    let limited: Answer | undefined;
    let requests = 0;
    // The window is the minute of the clock, so it may begin anew once on the way.
    while (!limited && requests < 220) {
      const answers = await Promise.all(Array.from({ length: 10 }, () => run(post_url, public_id)));
      requests += answers.length;
      before += answers.filter(({ body }) => body.status === 'queued').length;
      limited = answers.find(({ status }) => status === 429);
    }
    expect(requests).toBeGreaterThan(100);
    expect(limited?.body).toMatchObject({ ok: false, error: 'Rate limit', code: 'rate_limited' });
    expect(limited?.headers.get('x-opsmantik-ratelimit')).toBe('1');
    expect(limited?.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expect(limited?.headers.get('x-opsmantik-quota-exceeded')).toBeNull();
    expect(await ledger(id)).toHaveLength(before);
  });

  test('3: every successful answer has the build-info headers', async () => {
    const { public_id } = await stack.site();
    for (const command of [post_event, post_event, post_url]) {
      const { status, headers } = await run(command, public_id);
      expect(status).toBe(200);
      expect(headers.get('x-opsmantik-commit')).toMatch(/^\s?([0-9a-f]{40}|unknown)$/);
      expect(headers.get('x-opsmantik-branch')).toMatch(/\S/);
    }
  });

  test('5: over the monthly limit, or over the hard cap of a soft one, it answers 429 with Retry-After, and the row is not billable', async () => {
    for (const plan of [{ limit: 0 }, { limit: 0, soft: true }]) {
      const { id, public_id } = await stack.site(plan);
      const { status, headers, body } = await run(post_event, public_id);
      expect(status).toBe(429);
      expect(headers.get('x-opsmantik-quota-exceeded')).toBe('1');
      expect(headers.get('x-opsmantik-ratelimit')).toBeNull();
      expect(headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
      expect(body.status).toBe('rejected_quota');
      expect(await ledger(id)).toEqual([
        { billable: false, state: 'REJECTED_QUOTA', reason: 'rejected_quota', waiting: 0 },
      ]);
      expect(await stack.counts(id)).toMatchObject({ outbox: 0, events: 0 });
    }
  });

  test('6: over a soft limit and under its hard cap it answers 200 with x-opsmantik-overage, billable as overage', async () => {
    const { id, public_id } = await stack.site({ limit: 1, soft: true, multiplier: '2' });
    expect((await run(post_url, public_id)).status).toBe(200);
    const { status, headers, body } = await run(post_event, public_id);
    expect([status, body.status]).toEqual([200, 'queued']);
    expect(headers.get('x-opsmantik-overage')).toBe('true');
    expect(headers.get('x-opsmantik-quota-remaining')).toBe('0');
    expect((await ledger(id)).map(({ billable, state }) => [billable, state])).toEqual([
      [true, 'ACCEPTED'],
      [true, 'OVERAGE'],
    ]);
  });

  // Last, for the queue does not come back.
  test('4: without the queue it answers 200 degraded, and the event is in the ledger and in the fallback buffer', async () => {
    const { id, public_id } = await stack.site();
    const sqs = new SQSClient(stack.client);
    await sqs.send(
      new DeleteQueueCommand({ QueueUrl: stack.resource('AWS::SQS::Queue', 'DeliveryQueue').ref }),
    );
    sqs.destroy();
    const { status, headers, body } = await run(post_event, public_id);
    expect([status, body.status]).toEqual([200, 'degraded']);
    expect(headers.get('x-opsmantik-degraded')).toMatch(/^qstash_publish_failed\b/);
    expect(headers.get('x-opsmantik-fallback')).toBe('true');
    expect(await ledger(id)).toEqual([
      { billable: true, state: 'ACCEPTED', reason: 'default_billable', waiting: 1 },
    ]);
  });
});

function installed(command: string): boolean {
  try {
    execFileSync(command, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
