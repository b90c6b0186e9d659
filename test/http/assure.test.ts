// The daily job over HTTP and on its schedule: who may start it, what it answers, finds and logs, and that a flag stops it.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { callAs, tokenOf } from '../support/job-doors.ts';
import { plant } from '../support/reconciliation.ts';
import { openStack, type TestStack } from '../support/stack.ts';

const path = '/api/jobs/reconcile';
let stack: TestStack;
let service: string;
beforeAll(async () => {
  stack = await openStack();
  service = await tokenOf(stack, 'service');
});
afterAll(() => stack?.close());

const reconcile = (body: unknown = {}) => callAs(stack, service, path, body);
const invoke = (name: 'assure' | 'sweep') => stack.functions.invoke(stack.functionName(name), {});

async function player(): Promise<string> {
  const owner_id = randomUUID();
  await stack.database.query(`select credit_wallet('default', 'test', $1, $2)`, [
    owner_id,
    { owner_id, currency: 'POINTS', amount_minor: '50' },
  ]);
  return owner_id;
}

const lines = (message: string) => stack.logs.filter((line) => line.message === message);

describe('the door', () => {
  test('wants a valid token of a service', async () => {
    expect((await callAs(stack, undefined, path, {})).status).toBe(401);
    expect((await callAs(stack, 'a'.repeat(200), path, {})).status).toBe(401);
    const [head, body, signature] = service.split('.');
    const forged = [head, body, `${signature?.slice(0, -4)}AAAA`].join('.');
    expect((await callAs(stack, forged, path, {})).status).toBe(401);
    for (const role of ['player', 'finance', 'owner']) {
      const answer = await callAs(stack, await tokenOf(stack, role), path, {});
      expect([role, answer.status, answer.body.code]).toEqual([role, 403, 'forbidden']);
    }
    expect((await callAs(stack, await tokenOf(stack, 'platform-admin'), path, {})).status).toBe(200);
  });

  test('takes POST only, and a day of the calendar that is not in the future', async () => {
    expect((await callAs(stack, service, path, undefined, 'GET')).status).toBe(405);
    for (const date of ['2026-02-30', 'yesterday', 7, '2999-01-01'])
      expect([date, (await reconcile({ date })).status]).toEqual([date, 400]);
    expect((await reconcile('{not json')).status).toBe(200);
  });
});

describe('a run', () => {
  test('finds and heals drift, logs it with its figures, and is clean the second time', async () => {
    const uid = await player();
    await plant(
      stack.database,
      `update accounts set balance = 57 where owner_id = '${uid}' and kind = 'available'`,
    );
    const first = await reconcile({ date: '2026-01-31' });
    expect(first.status).toBe(200);
    expect(first.body).toMatchObject({
      success: true,
      date: '2026-01-31',
      status: 'completed',
      results: { adjusted: 1, errors: 0, totalDelta: '7' },
      timestamp: expect.stringMatching(/^20.*Z$/),
    });
    expect(lines('[reconciliation] User reconciled')).toMatchObject([
      { component: 'recon', uid, delta: '7', wallet_before: '57', wallet_after: '50', status: 'adjusted' },
    ]);
    const second = await reconcile({ date: '2026-01-31' });
    expect(second.body).toMatchObject({
      run_no: first.body.run_no + 1,
      digest: first.body.digest,
      results: { adjusted: 0, errors: 0, totalDelta: '0' },
    });
    expect(lines('reconciliation_daily').at(-1)).toMatchObject({ date: '2026-01-31', adjusted: '0' });
    const metrics = stack.logs.filter((line) => '_aws' in line);
    for (const name of [
      'reconciliation_daily',
      'wallet_invariant_violations',
      'reconciliation_adjustment_amount',
    ])
      expect(metrics.some((line) => name in line)).toBe(true);
  });

  test('on the schedule is one run a day, however often the scheduler repeats it', async () => {
    expect(await invoke('assure')).toMatchObject({ ok: true, value: { ok: true, status: 'completed' } });
    const { value } = (await invoke('assure')) as { value: { run_id: string } };
    expect(await invoke('assure')).toMatchObject({ value: { run_id: value.run_id } });
  });

  test('does nothing while its flag is off: 503 for a service, a line in the log for the schedule', async () => {
    const flag = (value: boolean) => stack.admin('PUT', '/flags/reconciliation_enabled', { value });
    expect((await flag(false)).status).toBe(200);
    const count = async () =>
      (await stack.database.query('select count(*) from reconciliation_runs')).rows[0].count;
    const before = await count();
    const { status, body } = await reconcile();
    expect([status, body.code]).toEqual([503, 'disabled']);
    expect(await invoke('assure')).toMatchObject({ ok: true, value: { disabled: true } });
    expect(await count()).toBe(before);
    expect((await flag(true)).status).toBe(200);
    expect((await reconcile()).status).toBe(200);
  });

  test('writes a finding for a paid withdrawal that the ledger knows nothing of, once', async () => {
    const [tx, uid] = [randomUUID(), randomUUID()];
    await plant(
      stack.database,
      `insert into withdrawals (id, tenant_id, player_id, currency, amount, method, state, idempotency_key, hold_id, flags, metadata)
       values ('${tx}', 'default', '${uid}', 'USD', 5, 'bank', 'paid', 'k', gen_random_uuid(), '{}', '{}')`,
    );
    for (const _ of [1, 2]) expect((await reconcile()).body).toMatchObject({ findings: 2 });
    const { rows } = await stack.database.query(
      'select finding_type, severity, status from reconciliation_findings where tx_id = $1 order by 1',
      [tx],
    );
    expect(rows).toEqual([
      { finding_type: 'LEDGER_MISSING_WITHDRAW_PAID', severity: 'CRITICAL', status: 'OPEN' },
      { finding_type: 'PAYOUT_ATTEMPT_MISSING_FOR_PAID', severity: 'HIGH', status: 'OPEN' },
    ]);
    await plant(stack.database, `delete from withdrawals where id = '${tx}'`);
  });
});

describe('the doctor', () => {
  const examine = async (role: string) =>
    callAs(stack, await tokenOf(stack, role), '/api/admin/doctor', undefined, 'GET');

  test('tells finance which invariants hold and which are broken, and writes nothing', async () => {
    expect((await examine('finance')).body).toMatchObject({ ok: true, healthy: true, broken: 0 });
    expect((await examine('player')).status).toBe(403);
    const uid = await player();
    await plant(
      stack.database,
      `update accounts set balance = 1 where owner_id = '${uid}' and kind = 'available'`,
    );
    const { body } = await examine('platform-admin');
    expect(body.healthy).toBe(false);
    const broken = body.invariants.filter((one: { violations: string }) => one.violations !== '0');
    expect(broken.map((one: { invariant: string }) => one.invariant)).toContain(
      'a balance is the sum of its entries',
    );
    await reconcile();
    expect((await examine('finance')).body).toMatchObject({ healthy: true });
  });
});

test('the sweep expires holds and folds accounts, every minute', async () => {
  const owner_id = await player();
  await stack.database.query(`select hold('default', 'test', 'h', $1)`, [
    { owner_id, currency: 'POINTS', amount_minor: '5', expires_in_s: '1' },
  ]);
  await new Promise((done) => setTimeout(done, 1_100));
  await invoke('sweep');
  const { rows } = await stack.database.query(
    `select (select balance_real_available from wallet_balances where player_id = $1) available,
            (select runs_ok > 0 from job_heartbeats where job = 'sweep') beats`,
    [owner_id],
  );
  expect(rows).toEqual([{ available: '50', beats: true }]);
});
