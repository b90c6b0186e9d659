// The operator's commands on payments against the whole stack: reconcile a provider, work on findings, set methods, products, settlement.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { demoUsers } from '../../local/issuer.ts';
import { cronSecretOf, secondFinance } from '../support/callers.ts';
import { behindGuards } from '../support/frozen-month.ts';
import { violations } from '../support/money.ts';
import { captured, payingPlayer } from '../support/payment-doors.ts';
import { openStack, type TestStack } from '../support/stack.ts';
import { kernel } from './run-kernel.ts';

let stack: TestStack;
let player: string;
const tokens = new Map<string, string>();
beforeAll(async () => {
  stack = await openStack();
  for (const user of demoUsers) tokens.set(user.name, await stack.issuer.token(user));
  player = await payingPlayer(stack);
});
afterAll(async () => {
  if (stack) expect(await violations(stack.database)).toEqual([]);
  await stack?.close();
});

const env = (user: string) => ({
  ...{ KERNEL_URL: stack.url, KERNEL_TOKEN: tokens.get(user) ?? '' },
  KERNEL_CRON_SECRET: cronSecretOf(stack),
});
async function as(user: string, ...args: string[]) {
  const { code, stdout, stderr } = await kernel([...args, '--json'], env(user));
  return { code, stderr, out: stdout === '' ? {} : JSON.parse(stdout) };
}
const run = (...args: string[]) => as('Pat Platform', ...args);
const words = (...args: string[]) => kernel(args, env('Pat Platform'));
const match = (...args: string[]) => run('match', '--provider', 'mockpsp', ...args);
const open = async (type: string) =>
  (await run('finding', 'list', '--status', 'OPEN', '--type', type)).out.items;

async function finding(type: string): Promise<string> {
  const { rows } = await stack.database.query(
    `select record_finding('mockpsp', 'default', $1, null, jsonb_build_object('provider_event_id', $2::text), $3, 'ERROR', 'Planted.') id`,
    [player, randomUUID(), type],
  );
  return rows[0].id;
}
async function balance(): Promise<string> {
  const { rows } = await stack.database.query(
    `select balance_real_available from wallet_balances where player_id = $1 and currency = 'USD'`,
    [player],
  );
  return rows[0]?.balance_real_available ?? '0';
}

test('match exits 0 when both sides agree, and 3 while the provider moved what the ledger has not', async () => {
  await captured(stack);
  await run('payments', 'process');
  expect(await match()).toMatchObject({ code: 0, out: { runs: [{ status: 'completed' }] } });
  const lost = await captured(stack, 'lost', '700');
  expect(lost.state).toBe('pending_provider');
  const dry = await match('--dry-run');
  expect(dry.code).toBe(3);
  expect(dry.out.runs[0].stats).toMatchObject({
    differences: { missing_in_ledger: '1' },
    currencies: { USD: { drift_minor: '700' } },
    found: [{ finding_type: 'missing_in_ledger', tx_id: lost.id }],
  });
  expect(await open('missing_in_ledger')).toEqual([]);
  const told = await words('match', '--provider', 'mockpsp');
  expect(told).toMatchObject({ code: 3, stderr: '' });
  expect(told.stdout).toMatch(/^USD +800 +100 +700$/m);
  expect(told.stdout).toMatch(/^missing_in_ledger +1$/m);
  const [one] = await open('missing_in_ledger');
  expect(one).toMatchObject({ tx_id: lost.id, severity: 'ERROR' });
  const shown = await words('finding', 'show', one.id);
  expect(shown.stdout).toMatch(/^amount_minor +700 +700$/m);
  expect((await run('payments', 'catch-up')).out).toMatchObject({ ok: true, caught_up: expect.any(Number) });
  await stack.eventSources.drained();
  expect((await run('payments', 'process')).out).toMatchObject({ ok: true, waiting: '0', dead: '0' });
  expect(await match()).toMatchObject({ code: 0, out: { runs: [{ stats: { resolved: '1' } }] } });
  expect(await open('missing_in_ledger')).toEqual([]);
});

describe('a finding', () => {
  test('is taken on, given back, and resolved with a reason, accepted or not', async () => {
    const id = await finding('amount_mismatch');
    const own = (...args: string[]) => run('finding', 'own', id, ...args);
    expect((await own('--owner', 'Fay')).out.finding).toMatchObject({ owner: 'Fay' });
    expect((await own('--nobody')).out.finding).toMatchObject({ owner: null });
    const resolved = await run('finding', 'resolve', id, '--reason', 'a fee', '--accept');
    expect(resolved.out).toMatchObject({ changed: true, finding: { status: 'RESOLVED', accepted: true } });
    const listed = await words('finding', 'list', '--type', 'amount_mismatch', '--tenant', 'default');
    expect(listed.stdout).toContain(id);
    expect((await words('finding', 'list', '--tenant', 'nobody')).stdout).not.toContain(id);
  });

  test('is corrected once by one key, which the command names', async () => {
    const id = await finding('missing_in_psp');
    const before = BigInt(await balance());
    const args = ['finding', 'correct', id, '--delta-minor', '-50', '--currency', 'USD', '--reason', 'twice'];
    const first = await run(...args);
    expect(first).toMatchObject({ code: 0, out: { correction: { state: 'posted', delta_minor: '-50' } } });
    const key = /^Idempotency-Key ([0-9a-f-]{36}):/.exec(first.stderr)?.[1] ?? '';
    const again = await run(...args, '--key', key);
    expect(again.out.correction.id).toBe(first.out.correction.id);
    expect(BigInt(await balance())).toBe(before - 50n);
    expect((await run('finding', 'show', id)).out.finding).toMatchObject({
      ...{ status: 'RESOLVED', corrections: [{ state: 'posted' }] },
    });
  });

  test('above the ceiling waits for somebody else than who proposed it', async () => {
    const correct = async (id: string) => {
      const options = ['--delta-minor', '20000', '--currency', 'USD', '--reason', 'lost'];
      const { out, stderr } = await as('Fay Finance', 'finding', 'correct', id, ...options);
      expect(stderr).toContain('waits for somebody else');
      return out.correction.id as string;
    };
    const [first, second] = [await finding('missing_in_ledger'), await finding('missing_in_ledger')];
    const before = BigInt(await balance());
    const paid = await correct(first);
    const same = await as('Fay Finance', 'finding', 'approve', paid, '--reason', 'mine');
    expect(same).toMatchObject({ code: 1, out: {} });
    expect(same.stderr).toContain('code FOUR_EYES');
    expect(BigInt(await balance())).toBe(before);
    const approved = await as(secondFinance.name, 'finding', 'approve', paid, '--reason', 'seen');
    expect(approved.out.correction.state).toBe('posted');
    const refused = await as(
      secondFinance.name,
      'finding',
      'reject',
      await correct(second),
      '--reason',
      'no',
    );
    expect(refused.out.correction.state).toBe('rejected');
    expect(BigInt(await balance())).toBe(before + 20_000n);
    await run('finding', 'resolve', second, '--reason', 'rejected');
  });
});

test('methods and products are set for a tenant, or for everybody, and listed', async () => {
  const carrier = async (method: string, ...tenant: string[]) =>
    (await run('method', 'list', ...tenant)).out.methods.find(
      (one: { method: string }) => one.method === method,
    );
  expect((await run('method', 'set', 'bank', 'stripe', '--tenant', 'acme')).code).toBe(0);
  expect(await carrier('bank', '--tenant', 'acme')).toMatchObject({ provider: 'stripe', of_tenant: true });
  expect(await carrier('bank')).toMatchObject({ provider: 'mockpsp', of_tenant: false });
  expect((await words('method', 'set', 'wire', 'mockpsp', '--everybody')).stdout).toContain('everybody');
  expect(await carrier('wire', '--tenant', 'acme')).toMatchObject({ provider: 'mockpsp', of_tenant: false });
  await run('product', 'set', 'paynow', 'gold', '--points', '100');
  const second = await run('product', 'set', 'paynow', 'gold', '--points', '9007199254740993');
  expect(second.out.product).toMatchObject({ points: '9007199254740993', currency: 'POINTS', version: 2 });
  expect((await words('product', 'list')).stdout).toMatch(/^paynow +gold +9007199254740993 +POINTS +2$/m);
});

test('settlement is off until it is set, and off again when that is asked', async () => {
  const { id } = await stack.site();
  expect((await words('settlement', 'show', id)).stdout).toMatch(/^currency +off$/m);
  const set = await run('settlement', 'set', id, '--currency', 'USD', '--price-per-1k', '0.50');
  expect(set.out.settlement).toMatchObject({ currency: 'USD', overage_price_per_1k: '0.500000' });
  expect((await run('settlement', 'set', id, '--off')).out.settlement).toMatchObject({ currency: null });
});

describe('wrong input', () => {
  test.each([
    [['finding', 'list', '--status', 'open'], 'Option --status must be OPEN or RESOLVED, not "open".'],
    [['finding', 'resolve', 'a'], 'Option --reason is missing.'],
    [['finding', 'own', 'a'], 'One of the options --owner and --nobody is needed.'],
    [
      ['finding', 'correct', 'a', '--delta-minor', '1.5', '--currency', 'USD', '--reason', 'r'],
      'Option --delta-minor must be a whole number of minor units such as -250, not "1.5".',
    ],
    [['match', '--from', 'yesterday'], 'Option --from must be an instant such as 2026-03-01T00:00:00Z'],
    [['match', '--from', '2030-01-01T00:00:00Z'], 'Option --from must be before --to.'],
    [['method', 'set', 'a', 'b', '--tenant', 't', '--everybody'], 'exclude each other'],
    [['product', 'set', 'paynow', 'gold'], 'Option --points is missing.'],
    [['settlement', 'set', 'a', '--off', '--currency', 'USD'], 'Option --off excludes'],
    [['settlement', 'set', 'a', '--currency', 'USD'], 'Option --price-per-1k is missing.'],
  ])('%j exits 2 with one sentence and the usage line', async (args, sentence) => {
    const { code, stdout, stderr } = await kernel(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    const lines = stderr.trimEnd().split('\n');
    expect(lines[0]).toContain(sentence);
    expect(lines.slice(1)).toEqual([expect.stringContaining(`Usage: kernel ${args[0]}`)]);
  });

  test.each([
    [['match', '--provider', 'nope'], 'There is no such provider that can be reconciled'],
    [['finding', 'show', 'nothing'], 'There is no such finding'],
    [['method', 'set', 'card', 'nope'], 'code '],
    [['product', 'set', 'paynow', 'gold', '--points', '0'], 'points must be a string of digits above zero'],
    [['settlement', 'show', 'nowhere'], 'code '],
  ])('%j is refused by the stack in one sentence, and exits 1', async (args, sentence) => {
    const { code, stdout, stderr } = await words(...args);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^The stack refused: [^\n]+\n$/);
    expect(stderr).toContain(sentence);
    expect(stderr).not.toContain('HTTP 5');
  });
});

test('match exits 1 and concludes nothing while the list of the provider has a gap', async () => {
  const open_before = (await run('finding', 'list', '--status', 'OPEN')).out.meta.total;
  await behindGuards(stack.database, () =>
    stack.database.query('update psp_events set no = no + 1 where no = (select max(no) from psp_events)'),
  );
  const { code, stdout, stderr } = await words('match', '--provider', 'mockpsp');
  expect(code).toBe(1);
  expect(stdout).toContain('mockpsp incomplete');
  expect(stderr).toContain('nothing was concluded');
  expect((await run('finding', 'list', '--status', 'OPEN')).out.meta.total).toBe(open_before);
});
