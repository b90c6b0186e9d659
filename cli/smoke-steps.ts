// The five steps of the post-deploy smoke, each with what must be seen: duplicate, rate limit, quota, overage, finality.
import { createHash } from 'node:crypto';
import type { Answer } from './api.ts';
import { type Call, Failure } from './command.ts';
import { knock } from './cron.ts';
import { exportPath, findExport } from './dispute.ts';
import { fetchObject } from './download.ts';
import { RATE_LIMIT, type SmokeSite } from './smoke-site.ts';

/** Enough to exceed the limit even when the requests fall into several windows or come from several addresses. */
const REQUESTS_MAX = RATE_LIMIT * 10;

export type Step = {
  step: string;
  expected: string;
  /** What was found, in words. @throws Failure with what was found instead. */
  run: () => Promise<string>;
};

const BUILD = /^x-opsmantik-(commit|branch|version)$/;

/** Status, the headers that decide, and the body's status, as `200 x-opsmantik-dedup: 1 duplicate`. */
export function seen({ status, headers, body }: Answer): string {
  const said = [...headers]
    .filter(([name]) => (name.startsWith('x-opsmantik-') && !BUILD.test(name)) || name === 'retry-after')
    .map(([name, value]) => `${name}: ${value}`);
  const { status: word, code } = (body ?? {}) as { status?: string; code?: string };
  return [status, ...said, word ?? code ?? ''].join(' ').trim();
}

function must(right: boolean, found: string): void {
  if (!right) throw new Failure(found);
}

function accepted(answer: Answer): void {
  must(answer.status === 200, `an event within the limits was answered ${seen(answer)}`);
}

async function duplicate(site: SmokeSite): Promise<string> {
  accepted(await site.send('duplicate', 'key'));
  const second = await site.send('duplicate', 'key');
  must(second.status === 200 && second.headers.get('x-opsmantik-dedup') === '1', seen(second));
  const { events, ledger } = await site.delivered();
  const counted = `${ledger.billable} billable, ${events.delivered} delivered`;
  must(ledger.billable === '1' && events.delivered === '1', `${seen(second)}; ${counted}`);
  return `${seen(second)}; ${counted}`;
}

async function rateLimit(site: SmokeSite): Promise<string> {
  const before = BigInt((await site.usage()).ledger.rows);
  let within = 0n;
  for (let i = 0; i < REQUESTS_MAX; i += 1) {
    const answer = await site.send(`rate-${i}`, 'origin');
    if (answer.status === 429) {
      const { headers } = answer;
      must(headers.get('x-opsmantik-ratelimit') === '1', seen(answer));
      must(!headers.has('x-opsmantik-quota-exceeded'), seen(answer));
      const rows = BigInt((await site.usage()).ledger.rows) - before;
      must(rows === within, `${seen(answer)}; ${rows} ledger rows of ${within} accepted requests`);
      return `${seen(answer)}; no ledger row`;
    }
    accepted(answer);
    within += 1n;
  }
  throw new Failure(`no 429 in ${REQUESTS_MAX} requests at a limit of ${RATE_LIMIT} in 60 s`);
}

async function quotaReject(site: SmokeSite): Promise<string> {
  const used = BigInt((await site.usage()).ledger.billable);
  await site.setPlan({ monthly_limit: String(used + 1n), soft_limit_enabled: false });
  accepted(await site.send('last-within', 'key'));
  const answer = await site.send('beyond', 'key');
  const { status, headers } = answer;
  must(status === 429 && headers.get('x-opsmantik-quota-exceeded') === '1', seen(answer));
  must(Number(headers.get('retry-after')) > 0 && !headers.has('x-opsmantik-ratelimit'), seen(answer));
  const { ledger } = await site.usage();
  const rows = `billable ${ledger.billable} of ${ledger.rows} rows, rejected ${ledger.rejected}`;
  must(ledger.rejected === '1' && ledger.billable === String(used + 1n), `${seen(answer)}; ${rows}`);
  return `${seen(answer)}; ${rows}`;
}

async function overage(site: SmokeSite): Promise<string> {
  const used = (await site.usage()).ledger.billable;
  await site.setPlan({ monthly_limit: used, soft_limit_enabled: true, hard_cap_multiplier: '10' });
  const answer = await site.send('over', 'key');
  must(answer.status === 200 && answer.headers.get('x-opsmantik-overage') === 'true', seen(answer));
  const { ledger } = await site.usage();
  must(ledger.overage === '1', `${seen(answer)}; overage rows ${ledger.overage}`);
  return `${seen(answer)}; OVERAGE rows 1`;
}

/** The customer's evidence, read as bytes, and in it the rows that the steps before have left. */
async function disputeExport(call: Call, site: SmokeSite): Promise<string> {
  const { ledger, year_month } = await site.usage();
  const found = await findExport(call.target(), exportPath(site.id, year_month));
  const response = found.kind === 'inline' ? found.response : await fetchObject(found.stored.url);
  const bytes = Buffer.from(await response.arrayBuffer());
  const type = response.headers.get('content-type') ?? '';
  const [header = '', ...lines] = bytes.toString('utf8').split('\n');
  const hash = createHash('sha256').update(bytes).digest('hex');
  const count = (end: string) => String(lines.filter((line) => line.endsWith(end)).length);
  must(type.startsWith('text/csv') && header.split(',').includes('idempotency_key'), `${type}: ${header}`);
  must(hash === found.hash, `bytes with sha256 ${hash}, announced ${found.hash}`);
  must(count(',true') === ledger.billable, `${count(',true')} billable lines of ${ledger.billable} rows`);
  must(
    count(',REJECTED_QUOTA,false') === ledger.rejected,
    `${count(',REJECTED_QUOTA,false')} rejected lines`,
  );
  must(count(',OVERAGE,true') === ledger.overage, `${count(',OVERAGE,true')} overage lines`);
  return `${type}; ${lines.length} rows; sha256 ${hash}`;
}

async function invoiceFreeze(call: Call): Promise<string> {
  const answer = await knock(call, 'POST', 'invoice-freeze');
  const { ok, frozen, year_month } = (answer.body ?? {}) as {
    ok?: boolean;
    frozen?: number;
    year_month?: string;
  };
  must(answer.status === 200 && ok === true && typeof frozen === 'number', seen(answer));
  return `200 ok: true, frozen: ${frozen} (${year_month})`;
}

export function smokeSteps(call: Call, site: SmokeSite): Step[] {
  return [
    {
      step: 'duplicate',
      expected: 'second answer 200, x-opsmantik-dedup: 1, published once',
      run: () => duplicate(site),
    },
    {
      step: 'rate limit',
      expected: '429, x-opsmantik-ratelimit: 1, no x-opsmantik-quota-exceeded, no ledger row',
      run: () => rateLimit(site),
    },
    {
      step: 'quota reject',
      expected: '429, x-opsmantik-quota-exceeded: 1, Retry-After; the row is not billable',
      run: () => quotaReject(site),
    },
    {
      step: 'overage',
      expected: '200, x-opsmantik-overage: true; billing_state OVERAGE',
      run: () => overage(site),
    },
    {
      step: 'dispute export',
      expected: 'CSV with idempotency_key, sha256 of the bytes = x-opsmantik-export-hash',
      run: () => disputeExport(call, site),
    },
    {
      step: 'invoice freeze',
      expected: '200, ok: true, frozen: a number',
      run: () => invoiceFreeze(call),
    },
  ];
}
