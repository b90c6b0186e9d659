// The part of the game day in which data are corrupted, and the one in which their proof cannot be stored.
import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import { callsOf } from '../support/callers.ts';
import { behindGuards, freezeMonth, monthsAgo, plantEvents, plantRows } from '../support/frozen-month.ts';
import { plant } from '../support/reconciliation.ts';
import type { Day, Scenario } from './game-day.ts';
import { error, failing } from './game-day-faults.ts';

const sealed_rows = 700;
/** More than an answer holds, so that the export is built aside. */
const export_rows_min = 20_500;
/** Longer than a build takes: a message that comes while another instance is at it is done. */
const export_visibility_s = 10;
const patience = { timeout: 120_000, interval: 500 };

/** Freezes and seals a month of a new site as if so many days ago, and changes a byte of one of its rows behind every guard. */
async function changedMonth(day: Day, month: string, days_ago: number) {
  const { id } = await day.rig.stack.site();
  const add = (to: number) =>
    day.database((client) =>
      behindGuards(client, async () => {
        const { rowCount } = await client.query(
          `update ingest_idempotency set payload_hash = set_byte(payload_hash, 7, (get_byte(payload_hash, 7) + $3) & 255)
            where id = (select min(id) from ingest_idempotency where site_id = $1 and year_month = $2)`,
          [id, month, to],
        );
        expect(rowCount).toBe(1);
      }),
    );
  await day.database(async (client) => {
    await plantRows(client, id, month, sealed_rows);
    await plantEvents(client, id, month);
    await freezeMonth(client, id, month, days_ago);
  });
  await add(1);
  return { id, restore: () => add(255) };
}

const restored = 'puts the row back from a copy or a backup: it is tampering';

export const sealedMonth: Scenario[] = [
  {
    dependency: 'Ledger row of a sealed month',
    fault: 'one byte changed',
    alarms: ['broken-seals'], // within the week in which each month is proved again
    by_hand: restored,
    async inject(day) {
      const month = monthsAgo(2);
      const { id, restore } = await changedMonth(day, month, 15);
      for (const job of ['Reconcile', 'Assure', 'Cleanup', 'Watchtower'])
        expect(await day.run(job)).toMatchObject({ ok: true, value: { ok: true } });
      const proof = async () => {
        const path = `/api/sites/${id}/invoices/${month}`;
        return (await callsOf(day.rig.stack)('platform-admin', 'GET', path)).body.proof;
      };
      const right = { hash_ok: true, ledger_ok: true };
      expect(await proof()).toMatchObject({ ...right, seal_ok: false, changed_days: [`${month}-01`] });
      const older = `update invoice_seals set sealed_at = sealed_at - interval '8 days' where site_id = $1`;
      await day.database((client) => behindGuards(client, () => client.query(older, [id])));
      return async () => {
        await restore();
        expect(await proof()).toMatchObject({ ...right, seal_ok: true });
      };
    },
    async look(day) {
      const broken = [{ year_month: monthsAgo(2), changed_days: [`${monthsAgo(2)}-01`] }];
      expect(await day.run('Cleanup')).toMatchObject({ value: { ok: true, seals_broken: broken } });
      await day.run('Watchtower');
    },
    async mended(day) {
      expect(await day.run('Cleanup')).toMatchObject({ value: { ok: true, seals_broken: [] } });
      await day.run('Watchtower');
    },
  },
  {
    dependency: 'Ledger row of a sealed month',
    fault: 'one byte changed, and the month is due to leave the ledger',
    alarms: ['cleanup-failed'],
    by_hand: restored,
    inject: async (day) => (await changedMonth(day, monthsAgo(9), 90)).restore,
    async look(day) {
      expect(await day.run('Cleanup')).toMatchObject({ value: { ok: false, failed: 1, deleted: '0' } });
    },
    async mended(day) {
      expect(await day.run('Cleanup')).toMatchObject({
        value: { ok: true, archived: 1, deleted: String(sealed_rows) },
      });
    },
  },
];

export const changedUsage: Scenario = {
  dependency: 'Usage row',
  fault: 'half as much again as the ledger',
  alarms: ['ledger-drift'],
  async inject(day) {
    const more = 'update site_usage_monthly set event_count = event_count + event_count / 2';
    await day.database((client) => plant(client, `${more} where site_id = '${day.site.id}'`));
    return undefined;
  },
  async look(day) {
    await day.run('Reconcile'); // which corrects it
    await day.run('Watchtower');
  },
};

export const exportWithoutS3: Scenario = {
  dependency: 'S3',
  fault: 'away while a long export is built',
  alarms: ['export-dead-letters'],
  by_hand: 'asks for the export again, and deletes the dead letter',
  async inject(day) {
    await expect.poll(() => day.load.acknowledged.size, patience).toBeGreaterThan(export_rows_min);
    await day.visibility('ExportQueue', export_visibility_s);
    return failing('s3', error('ServiceUnavailable', 503), { callers: ['export'] })(day);
  },
  look: async (day) => expect([202, 500]).toContain((await askExport(day)).status),
  async mended(day) {
    await expect.poll(async () => (await askExport(day)).status, patience).toBe(303);
    const { url, export_hash, row_count } = (await askExport(day)).body;
    const csv = await (await fetch(url)).text();
    expect(createHash('sha256').update(csv).digest('hex')).toBe(export_hash);
    expect(csv.split('\n')).toHaveLength(Number(row_count) + 1);
  },
};

/** Of the month that runs, while events come in. */
function askExport({ site, rig: { stack } }: Day) {
  const path = `/api/billing/dispute-export?site_id=${site.id}&year_month=${monthsAgo(0)}`;
  return callsOf(stack)('platform-admin', 'GET', path);
}
