// A frozen month that somebody changes behind every guard: the daily job finds it, the watchtower calls it, and it ends when the row is right again.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fakeClock } from '../../local/schedule/clock.ts';
import { kernel } from '../cli/run-kernel.ts';
import { cronSecretOf } from '../support/callers.ts';
import { behindGuards, freezeMonth, monthsAgo, plantRows } from '../support/frozen-month.ts';
import { callAs } from '../support/job-doors.ts';
import { openStack, type TestStack } from '../support/stack.ts';

const month = monthsAgo(2);
let stack: TestStack;
let site: string;
let other: string;
beforeAll(async () => {
  stack = await openStack({ clock: fakeClock(new Date()) }); // no schedule proves what a test has planted
  [site, other] = [(await stack.site()).id, (await stack.site()).id];
  for (const one of [site, other]) {
    await plantRows(stack.database, one, month, 100);
    await freezeMonth(stack.database, one, month, 20);
  }
});
afterAll(() => stack?.close());

const cron = async (path: string) =>
  (await callAs(stack, cronSecretOf(stack), `/api/cron/${path}`, undefined, 'GET')).body;
const behind = (sql: string, values: unknown[]) =>
  behindGuards(stack.database, () => stack.database.query(sql, values));
/** As if the last proof, or the seal, were so old. */
async function weekLater() {
  await behind(`update invoice_seals set sealed_at = sealed_at - interval '8 days'`, []);
  await behind(`update seal_checks set checked_at = checked_at - interval '8 days'`, []);
}
const forge = (reason: string) =>
  behind(
    `update ingest_idempotency set billing_reason = $2::billing_reason
      where id = (select id from ingest_idempotency where site_id = $1 order by created_at, id offset 40 limit 1)
      returning left(utc_text(created_at), 10) "day", (select billing_reason from ingest_idempotency where site_id = $1 order by created_at, id offset 40 limit 1) was`,
    [site, reason],
  );
const seen = async () => (await cron('watchtower')).checks.brokenSeals;

test('a month is proved again within a week, and not before', async () => {
  expect(await cron('idempotency-cleanup')).toMatchObject({ ok: true, seals_checked: 0, seals_broken: [] });
  await weekLater();
  expect(await cron('idempotency-cleanup?dry_run=true')).toMatchObject({ ok: true, seals_checked: 0 });
  expect(await cron('idempotency-cleanup')).toMatchObject({ ok: true, seals_checked: 2, seals_broken: [] });
  expect(await cron('idempotency-cleanup')).toMatchObject({ ok: true, seals_checked: 0 });
  expect(await seen()).toEqual({ status: 'ok', count: 0, first: null });
});

test('one changed byte is found, with its day, and is critical until it is right again', async () => {
  const { rows } = await forge('canary');
  const [{ day, was }] = rows as [{ day: string; was: string }];
  await weekLater();
  const broken = { site_id: site, year_month: month, changed_days: [day] };
  expect(await cron('idempotency-cleanup')).toMatchObject({
    ok: true,
    seals_checked: 2,
    seals_broken: [broken],
  });
  expect(stack.logs.filter(({ message }) => message === 'SEAL_BROKEN')).toMatchObject([broken]);
  expect(await seen()).toEqual({ status: 'critical', count: 1, first: `${month} ${site}` });
  const since = async () => (await stack.database.query('select since from seal_checks where not ok')).rows;
  const first = await since();
  // A broken one is proved at every run, and has been broken since it was first seen.
  expect(await cron('idempotency-cleanup')).toMatchObject({ seals_checked: 1, seals_broken: [broken] });
  expect(await since()).toEqual(first);
  const command = await kernel(['cleanup', '--url', stack.url, '--secret', cronSecretOf(stack)]);
  expect(command).toMatchObject({
    code: 3,
    stderr: `${site} ${month}: the seal is broken; changed: ${day}\n`,
  });
  await forge(was);
  expect(await cron('idempotency-cleanup')).toMatchObject({ seals_checked: 1, seals_broken: [] });
  expect(await seen()).toMatchObject({ status: 'ok' });
});

test('a sealed month whose invoice is gone is broken', async () => {
  await behind('delete from invoice_snapshot where site_id = $1', [other]);
  await weekLater();
  const { seals_broken } = await cron('idempotency-cleanup');
  expect(seals_broken).toEqual([{ site_id: other, year_month: month, changed_days: null }]);
});

test('a proof that cannot be had is a failure with its reason, and stops no other', async () => {
  await stack.database.query(`alter function verify_invoice(uuid, text) rename to verify_invoice_away`);
  await weekLater();
  const { ok, failed, seals_checked, months } = await cron('idempotency-cleanup');
  await stack.database.query('alter function verify_invoice_away(uuid, text) rename to verify_invoice');
  expect({ ok, failed, seals_checked }).toEqual({ ok: false, failed: 1, seals_checked: 1 });
  expect(months).toMatchObject([{ site_id: site, ok: false, error: expect.any(String) }]);
});
