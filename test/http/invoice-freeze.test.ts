// The freeze as the scheduler and an operator start it: per-site results, safe to repeat, refused for an open month.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type JsonAnswer, openStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let secret: string;
let month: string;
beforeAll(async () => {
  stack = await openStack();
  secret = stack.state.secret(
    stack.resource('AWS::SecretsManager::Secret', 'CronSecret').ref.split(':').at(-1) ?? '',
  );
  const { rows } = await stack.database.query(
    `select utc_year_month(month_start(utc_year_month(now())) - interval '1 day') value`,
  );
  month = rows[0].value;
  for (let i = 0; i < 3; i++) {
    const { id } = await stack.site();
    await stack.database.query(`update sites set created_at = now() - interval '90 days' where id = $1`, [
      id,
    ]);
  }
});
afterAll(() => stack.close());

const freeze = async (query = '', method = 'POST', bearer = secret): Promise<JsonAnswer> => {
  const response = await fetch(`${stack.url}/api/cron/invoice-freeze${query}`, {
    method,
    headers: { authorization: `Bearer ${bearer}` },
  });
  return { status: response.status, body: await response.json() };
};

test('POST freezes last month for every site that existed, with a result for each', async () => {
  const { status, body } = await freeze();
  expect(status).toBe(200);
  expect(body).toMatchObject({
    ok: true,
    year_month: month,
    frozen: 3,
    inserted: 3,
    failed: 0,
    total_sites: 3,
    remaining: false,
  });
  expect(body.results).toHaveLength(3);
  expect(body.results[0]).toMatchObject({
    ok: true,
    event_count: '0',
    snapshot_hash: expect.stringMatching(/^[0-9a-f]{64}$/),
  });
});

test('again, by GET or by the schedule, it freezes nothing more', async () => {
  expect((await freeze('', 'GET')).body).toMatchObject({ ok: true, frozen: 0, total_sites: 0 });
  const result = await stack.schedules.trigger(
    stack.resource('AWS::Scheduler::Schedule', 'SchedulesFreeze').ref,
  );
  expect(result.ok || result.errorMessage).toBe(true);
});

test('the scheduled time, not the time of arrival, names the month', async () => {
  const first = new Date(`${month}-01T00:00:00Z`);
  const invoked = await stack.functions.invoke(stack.functionName('freeze'), {
    scheduled_time: first.toISOString(),
  });
  expect(invoked).toMatchObject({
    ok: true,
    value: { ok: true, year_month: expect.not.stringMatching(month) },
  });
});

test.each([
  ['an open month', '?year_month=2999-01', 409, 'month_open'],
  ['a month that is none', '?year_month=2026-13', 400, 'invalid_request'],
])('%s is refused and nothing is frozen', async (_what, query, status, code) => {
  expect(await freeze(query)).toMatchObject({
    status,
    body: { ok: false, code, error: expect.any(String), request_id: expect.any(String) },
  });
});

test.each(['', 'wrong'])('the secret "%s" is refused', async (bearer) => {
  expect(await freeze('', 'POST', bearer)).toMatchObject({
    status: 403,
    body: { error: 'forbidden', code: 'CRON_FORBIDDEN' },
  });
});
