// Crash at every step: after a death or a lost reply at any seam, and the caller's own retry, the state is that of a run without.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Rule } from './door-faults.ts';
import { type Death, openRig, type Rig } from './rig.ts';
import {
  admitted,
  bodyOf,
  functionOf,
  makeDue,
  newSite,
  notes,
  raiseLimit,
  recover,
  retry,
  type Site,
  type State,
  sendMessage,
  stateOf,
  strand,
  toldBy,
} from './scenario.ts';
import { type Cell, cells, faultsOf, outcomes, seams, type Told } from './seams.ts';
import { proving, table, writeSection } from './sections.ts';

/** What is posted, how many are admitted, and whether one more finds room. */
const forms = {
  single: { ids: ['a'], admitted: 1, room: true },
  'batch of 3': { ids: ['a', 'b', 'c'], admitted: 3, room: true },
  'batch of 3 with room for 2': { ids: ['a', 'b', 'c'], admitted: 2, room: false },
};
/** A message that comes again was away for its visibility timeout of a second. */
const invisible_ms_min = 700;
type Form = keyof typeof forms;
const batch = forms['batch of 3'].ids;

let rig: Rig;
const expected = new Map<Form, State>();
const passed = new Map<string, { ok: number; told: string }>();

beforeAll(async () => {
  rig = await openRig();
  for (const form of Object.keys(forms) as Form[]) {
    const site = await siteFor(form);
    expect(toldBy(await rig.stack.sync(bodyOf(site, forms[form].ids)))).toBe(said(form, 'queued'));
    expected.set(form, await finish(site, forms[form].room));
  }
});
afterAll(async () => {
  writeMatrix();
  await rig?.close();
});

test('a run without a fault bills each event once, fills the quota and delivers', () => {
  expect(expected.get('batch of 3')).toEqual({
    ledger: [
      ...['a', 'b', 'c', 'one-more'].map((id) => `${id} ACCEPTED t default_billable 3`),
      'REJECTED_QUOTA f rejected_quota 3',
    ],
    usage: ['4 0'],
    outbox: 0,
    events: ['a', 'b', 'c', 'one-more'],
    conflicts: 0,
    counter: 4,
  });
});

describe.each(Object.keys(forms) as Form[])('ingest, %s', (form) => {
  test.each(cellsOf('ingest').filter((cell) => runsAs(cell, form)))(
    '$seam.name, $outcome: $told',
    async (cell) => {
      const site = await siteFor(form);
      const { ids, admitted: all, room } = forms[form];
      const body = bodyOf(site, ids);
      const { rules, deaths } = faultsOf(cell, functionOf(rig, 'ingest'), functionOf(rig, 'ingest'));
      await rig.arm(rules, deaths);
      const first = await rig.stack.sync(body);
      const { fired } = await rig.heal();

      expect(total(fired)).toBe(planned(rules, deaths));
      expect(toldBy(first)).toBe(said(form, cell.told));
      if (cell.committed !== undefined) expect(await admitted(rig, site)).toBe(cell.committed ? all : 0);
      if (cell.told === 'degraded')
        expect((await notes(rig, site)) > 0).toBe(!/^(error|cut)$/.test(cell.outcome) || !cell.seam.when);
      const again = await retry(rig, body);
      if (cell.committed !== undefined)
        expect(toldBy(again)).toBe(said(form, cell.committed ? 'duplicate' : 'queued'));

      await makeDue(rig);
      expect(await recover(rig)).toMatchObject({ status: 200 });
      expect(await finish(site, room)).toEqual(expected.get(form));
      pass(cell);
    },
  );
});

describe('deliver', () => {
  test.each(cellsOf('deliver'))('$seam.name, $outcome: $told', async (cell) => {
    const site = await siteFor('batch of 3');
    const { rules, deaths } = faultsOf(cell, functionOf(rig, cell.seam.caller), functionOf(rig, 'ingest'));
    await rig.arm(rules, deaths);
    const sent = performance.now();
    expect(toldBy(await rig.stack.sync(bodyOf(site, batch)))).toBe('queued');
    await rig.stack.delivered();
    if (cell.told === 'message again') expect(performance.now() - sent).toBeGreaterThan(invisible_ms_min);
    const { fired } = await rig.heal();
    expect(total(fired)).toBe(planned(rules, deaths));
    expect(await finish(site)).toEqual(expected.get('batch of 3'));
    pass(cell);
  });

  test.each([
    ['twice', [0, 0]],
    ['in another order', [1, 0]],
    ['twice and in another order', [1, 0, 1, 0, 0]],
  ])('messages that come %s have the effect of one', async (_how, order) => {
    const sites = [await siteFor('batch of 3'), await siteFor('batch of 3')];
    const batches: string[] = [];
    for (const site of sites) batches.push(await strand(rig, site, batch));
    for (const n of order) await sendMessage(rig, batches[n] ?? '');
    await rig.stack.delivered();
    for (const [n, site] of sites.entries()) {
      if (!order.includes(n)) await sendMessage(rig, batches[n] ?? '');
      expect(await finish(site)).toEqual(expected.get('batch of 3'));
    }
  });
});

describe('recover', () => {
  test.each(cellsOf('recover'))('$seam.name, $outcome: $told', async (cell) => {
    const site = await siteFor('batch of 3');
    await strand(rig, site, batch);
    const caller = functionOf(rig, 'recover');
    if (cell.seam.name === 'cron secret') await newInstance(caller);
    const { rules, deaths } = faultsOf(cell, caller, functionOf(rig, 'ingest'));
    await rig.arm(rules, deaths);
    const first = await recover(rig);
    const { fired } = await rig.heal();

    expect(total(fired)).toBe(planned(rules, deaths));
    expect(first.status === 200).toBe(cell.told === 'done');
    if (cell.told === 'no answer') expect(first.body).toEqual({ message: 'Internal Server Error' });
    if (cell.told === 'failed') expect(first.body.ok).toBe(false);
    expect(await recover(rig)).toMatchObject({ status: 200 });
    expect(await finish(site)).toEqual(expected.get('batch of 3'));
    pass(cell);
  });
});

function cellsOf(entry: Cell['seam']['entry']): Cell[] {
  return cells.filter(({ seam }) => seam.entry === entry);
}

/** At the edge of the limit only the ledger's own step can go another way. In a quick run each cell takes turns: a single event, or a batch. */
function runsAs(cell: Cell, form: Form): boolean {
  if (!forms[form].room) return cell.seam.name === 'ledger';
  return proving || (form === 'single') === (cells.indexOf(cell) % 2 === 0);
}

function siteFor(form: Form): Promise<Site> {
  return newSite(rig, forms[form].admitted + (forms[form].room ? 1 : 0));
}

/** A batch with refused events says so whatever became of the others. */
function said(form: Form, told: Told): string {
  return !forms[form].room && (told === 'queued' || told === 'duplicate') ? 'mixed' : told;
}

/** One more event fits, another does not: an event that was billed twice, or not at all, would be seen here. */
async function finish(site: Site, room = true): Promise<State> {
  if (!room) await refuse(site);
  if (!room) await raiseLimit(rig, site, 3); // the counter follows the next event that is admitted
  expect(toldBy(await rig.stack.sync(bodyOf(site, ['one-more'])))).toBe('queued');
  await refuse(site);
  await rig.stack.delivered();
  return stateOf(rig, site);
}

async function refuse(site: Site): Promise<void> {
  expect(await rig.stack.sync(bodyOf(site, ['too-many']))).toMatchObject({
    status: 429,
    body: { status: 'rejected_quota' },
  });
}

/** An instance that has read no secret yet. */
async function newInstance(caller: string): Promise<void> {
  await rig.arm([], [{ caller, point: 'before' }]);
  await rig.stack.functions.invoke(caller, {});
  await rig.heal();
}

function planned(rules: Rule[], deaths: Death[]): number {
  return rules.reduce((sum, { times = 1 }) => sum + times, deaths.length);
}

function total(fired: Record<string, number>): number {
  return Object.values(fired).reduce((sum, n) => sum + n, 0);
}

function pass(cell: Cell): void {
  const name = `${cell.seam.entry} ${cell.seam.name} ${cell.outcome}`;
  passed.set(name, { ok: (passed.get(name)?.ok ?? 0) + 1, told: cell.told });
}

function writeMatrix(): void {
  const wanted = (cell: Cell) =>
    cell.seam.entry === 'ingest'
      ? (Object.keys(forms) as Form[]).filter((form) => runsAs(cell, form)).length
      : 1;
  const rows = seams.map((seam) => [
    seam.entry,
    seam.name,
    ...outcomes.map((outcome) => {
      const cell = cells.find((one) => one.seam === seam && one.outcome === outcome);
      if (!cell) return '–';
      const { ok = 0 } = passed.get(`${seam.entry} ${seam.name} ${outcome}`) ?? {};
      return `${ok === wanted(cell) ? 'ok' : '**failed**'}: ${cell.told}`;
    }),
  ]);
  const ran = cells.reduce((sum, cell) => sum + wanted(cell), 0);
  const ok = [...passed.values()].reduce((sum, one) => sum + one.ok, 0);
  writeSection(
    '10-crash-matrix',
    'Crash at every step',
    `${ok} of ${ran} cells end in the state of a run without a fault (${((100 * ok) / ran).toFixed(0)} %). ` +
      'A cell is a step and what happens to it; its words are what becomes of the first try. ' +
      'Each cell of ingest runs as a single event and as a batch of 3, those of its ledger step also as a batch of 3 with room for 2.\n\n' +
      table(['function', 'step', ...outcomes], rows),
  );
}
