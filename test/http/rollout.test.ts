// The rollout of docs/rollout.md rehearsed on a stack: balances taken over, one tenant enforced, and at each trigger the way back.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fakeClock } from '../../local/schedule/clock.ts';
import { kernel } from '../cli/run-kernel.ts';
import { tokenOf } from '../support/job-doors.ts';
import { violations } from '../support/money.ts';
import { type Call, caller, key, openPlayer, type Player } from '../support/money-doors.ts';
import { openStack, type TestStack } from '../support/stack.ts';

const enforce = 'ledger_enforce_balance';
const forced = ['--force', '--include-pending'];

let stack: TestStack;
let platform: Call;
let environment: Record<string, string>;
/** pilot goes ahead, calm follows it, late stays with the system before. */
let pilot: Player;
let calm: Player;
let late: Player;
beforeAll(async () => {
  stack = await openStack({ clock: fakeClock(new Date()) }); // no schedule mends what a test has planted
  platform = await caller(stack, ['platform-admin']);
  environment = {
    KERNEL_URL: stack.url,
    KERNEL_TOKEN: await tokenOf(stack, 'platform-admin'),
    KERNEL_CRON_SECRET: stack.state.secret(
      stack.resource('AWS::SecretsManager::Secret', 'CronSecret').ref.split(':').at(-1) ?? '',
    ),
  };
  [pilot, calm, late] = await Promise.all([
    openPlayer(stack, 'pilot'),
    openPlayer(stack, 'calm'),
    openPlayer(stack, 'late'),
  ]);
  for (const [tenant, player] of Object.entries({ pilot, calm, late })) await legacy(tenant, player, '1000');
});
afterAll(async () => {
  expect(await violations(stack.database)).toEqual([]);
  await stack.close();
});

async function run(args: string[], more: Record<string, string> = {}) {
  const { code, stdout, stderr } = await kernel([...args, '--json'], { ...environment, ...more });
  return { code, stderr, out: stdout === '' ? {} : JSON.parse(stdout) };
}

async function flag(name: string, value: boolean, tenant: string): Promise<void> {
  const { code, out } = await run(['flag', 'set', name, String(value), '--tenant', tenant]);
  expect([code, out.flag.overrides[tenant]]).toEqual([0, value]);
}

async function backfill(tenant: string, ...more: string[]) {
  return run(['backfill', 'wallets', '--tenant-id', tenant, ...more], {
    KERNEL_TOKEN: await tokenOf(stack, 'service'),
  });
}

/** Imports what the system before says of a player; once more replaces it. */
async function legacy(tenant: string, player: Player, available: string, held = '0'): Promise<void> {
  const rows = [{ player_id: player.id, available, held }];
  expect(await platform('POST', `/admin/legacy-balances?tenant_id=${tenant}`, { rows })).toMatchObject({
    status: 200,
  });
}

/** Who decided about a withdrawal, or why it was refused. */
async function decided(player: Player, amount: string): Promise<string> {
  const { body } = await player.withdraw(amount);
  return body.code ?? body.transaction.flags.decided_by;
}

/** The disagreements that withdrawals of a player have left and nobody has resolved. */
async function mismatches(player: Player): Promise<Record<string, unknown>[]> {
  const { rows } = await stack.database.query(
    `select f.raw from reconciliation_findings f
      where f.finding_type = 'ledger_balance_mismatch' and f.status = 'OPEN' and f.player_id = $1 order by f.created_at`,
    [player.id],
  );
  return rows.map(({ raw }) => raw);
}

const resolveFindings = () =>
  stack.database.query(`update reconciliation_findings set status = 'RESOLVED' where status = 'OPEN'`);
const openFindings = async () => (await run(['watchtower'])).out.checks.moneyFindings;

/** What a player can spend, in the system before and in the ledger. */
async function funds(player: Player): Promise<{ legacy: bigint; ledger: bigint }> {
  const tenant = player === pilot ? 'pilot' : player === calm ? 'calm' : 'late';
  const finance = await caller(stack, [`finance:${tenant}`]);
  const { body } = await finance('GET', `/admin/players/${player.id}/wallet`);
  const [wallet] = body.wallets;
  return {
    legacy: BigInt(wallet.legacy.available),
    ledger: BigInt(wallet.ledger.balance_real_available),
  };
}

/** The system before changes the balance by itself. */
async function told(player: Player, available: bigint): Promise<void> {
  const { rows } = await stack.database.query('select held from legacy_balances where player_id = $1', [
    player.id,
  ]);
  await legacy('pilot', player, String(available), rows[0].held);
}

test('what withdrawals find before the backfill is gone after it, and then one tenant alone is decided by the ledger', async () => {
  expect(await decided(pilot, '100')).toBe('legacy');
  expect(await mismatches(pilot)).toMatchObject([{ legacy: '1000', enforced: false }]);
  for (const [tenant, plain] of [
    ['pilot', { created: '0', skipped_exists: '1' }], // the shadow write has opened the wallet
    ['calm', { created: '1' }],
    ['late', { created: '1' }],
  ] as const) {
    expect(await backfill(tenant, '--dry-run')).toMatchObject({ code: 0, out: { summary: plain } });
    const dry = await backfill(tenant, ...forced, '--dry-run');
    expect(dry).toMatchObject({ code: 0, out: { dry_run: true, summary: { scanned: '1', errors: '0' } } });
    const real = await backfill(tenant, ...forced, '--hash', dry.out.summary.hash);
    expect(real).toMatchObject({ code: 0, out: { status: 'completed', summary: { scanned: 1, errors: 0 } } });
  }
  await resolveFindings();
  for (const player of [pilot, calm, late]) {
    expect(await decided(player, '10')).toBe('legacy');
    expect(await mismatches(player)).toEqual([]);
  }
  expect(await run(['doctor'])).toMatchObject({ code: 0, out: { healthy: true } });
  await flag(enforce, true, 'pilot');
  expect([await decided(pilot, '10'), await decided(calm, '10'), await decided(late, '10')]).toEqual([
    'ledger',
    'legacy',
    'legacy',
  ]);
  await flag(enforce, true, 'calm');
});

test('T1: funds refused unexpectedly go by the legacy balance again at once, and by the ledger after the repair', async () => {
  const { ledger } = await funds(pilot);
  await told(pilot, ledger + 500n); // a deposit in the system before, of which the ledger never heard
  const [wanted, request] = [String(ledger + 100n), key()];
  expect(await pilot.withdraw(wanted, request)).toMatchObject({
    status: 400,
    body: { code: 'INSUFFICIENT_FUNDS' },
  });
  expect(await mismatches(pilot)).toMatchObject([
    { legacy: String(ledger + 500n), ledger: String(ledger), enforced: true },
  ]);
  expect(await openFindings()).toMatchObject({ status: 'degraded', count: 1 });
  await flag(enforce, false, 'pilot');
  expect(await decided(pilot, wanted)).toBe('legacy');
  expect(await funds(pilot)).toEqual({ legacy: 400n, ledger: -100n });
  // An answer that was given stays: who wants the money asks with another key.
  expect(await pilot.withdraw(wanted, request)).toMatchObject({ status: 400, replayed: true });
  await repair();
});

test('T3: a balance that differs is found at the next withdrawal, and what only the ledger would pay is refused again', async () => {
  const { ledger } = await funds(pilot);
  await told(pilot, ledger - 300n); // money that the system before has paid by itself
  expect(await decided(pilot, '10')).toBe('ledger');
  expect(await mismatches(pilot)).toMatchObject([
    { legacy: String(ledger - 300n), ledger: String(ledger), enforced: true },
  ]);
  expect(await openFindings()).toMatchObject({ status: 'degraded', count: 1 });
  await flag(enforce, false, 'pilot');
  expect(await decided(pilot, String(ledger - 10n))).toBe('INSUFFICIENT_FUNDS');
  expect(await decided(pilot, '10')).toBe('legacy');
  expect(await funds(pilot)).toEqual({ legacy: ledger - 320n, ledger: ledger - 20n });
  await repair();
});

test('T2: refused signatures are let through again for the one tenant, and every switch is in the history', async () => {
  const enforced = async () =>
    (
      await stack.database.query(
        `select flag_on('webhook_signature_enforced', t) as on from unnest('{pilot,calm,late}'::text[]) t`,
      )
    ).rows.map(({ on }) => on);
  expect(await enforced()).toEqual([false, false, false]);
  await flag('webhook_signature_enforced', true, 'pilot');
  await flag('webhook_signature_enforced', true, 'calm');
  expect(await enforced()).toEqual([true, true, false]);
  await flag('webhook_signature_enforced', false, 'pilot');
  expect(await enforced()).toEqual([false, true, false]);
  const { body } = await stack.admin('GET', '/flags/webhook_signature_enforced');
  expect(body.flag.history.slice(0, 3)).toMatchObject([
    { tenant_id: 'pilot', from: true, to: false },
    { tenant_id: 'calm', to: true },
    { tenant_id: 'pilot', to: true },
  ]);
});

/** The others were not touched; the tenant's backfill brings the ledger to the legacy balance, and it may be enforced again. */
async function repair(): Promise<void> {
  expect([await decided(calm, '1'), await decided(late, '1')]).toEqual(['ledger', 'legacy']);
  const others = [await funds(calm), await funds(late)];
  const dry = await backfill('pilot', ...forced, '--dry-run');
  expect(await backfill('pilot', ...forced, '--hash', dry.out.summary.hash)).toMatchObject({
    code: 0,
    out: { summary: { updated_forced: 1, errors: 0 } },
  });
  const { legacy: before, ledger } = await funds(pilot);
  expect(ledger).toBe(before);
  await resolveFindings();
  await flag(enforce, true, 'pilot');
  expect(await decided(pilot, '1')).toBe('ledger');
  expect(await decided(pilot, String(ledger))).toBe('INSUFFICIENT_FUNDS');
  expect(await openFindings()).toMatchObject({ status: 'ok', count: 0 });
  expect([await funds(calm), await funds(late)]).toEqual(others);
  expect(await run(['doctor'])).toMatchObject({ code: 0, out: { healthy: true } });
}
