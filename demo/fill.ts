// Fills a stack with everything that the console shows, step by step, and plants what it must find.
import { type Fault, isTampered, plantDrift, plantMoneyFaults, tamper } from './faults.ts';
import { delivered, freezeMonths, monthStart, plantHistory } from './history.ts';
import { type Money, moveMoney } from './money.ts';
import { hearWebhooks, importHistory, reconcile } from './provider.ts';
import { createLastSite, createSites, first_site, last_site, type Site } from './sites.ts';
import { type Demo, type DemoStack, openDemo, userOf } from './stack.ts';
import { sendToday } from './today.ts';

const tampered_site = 'demo-northwind';
const drifting_site = 'demo-lumen';

export interface FillOptions {
  /** How many events the first site has in its last frozen month. */
  events?: number | undefined;
  /** Changes a byte of a sealed month, which cannot be undone. */
  tamper?: boolean;
}

/**
 * What was planted; nothing when the stack was filled before.
 * @param say is told of each step that is done.
 * @throws Error with one sentence.
 */
export async function fillDemo(
  stack: DemoStack,
  options: FillOptions,
  say: (sentence: string) => void,
): Promise<Fault[]> {
  const demo = await openDemo(stack);
  const now = new Date();
  try {
    const known = await knownSites(demo);
    if (known.has(last_site)) return await fillAgain(demo, options, now, say);
    if (known.has(first_site))
      throw new Error('An earlier run of the demo ended half-way: begin anew with npm start -- --fresh.');
    const faults = await fill(demo, options, now, say);
    await createLastSite(demo); // says that all the others are complete
    return faults;
  } finally {
    await demo.close();
  }
}

async function fill(
  demo: Demo,
  options: FillOptions,
  now: Date,
  say: (sentence: string) => void,
): Promise<Fault[]> {
  const since = monthStart(now, -2);
  const sites = await createSites(demo, options.events, since);
  say(`Created ${sites.length} sites with their plans and members`);
  say(`Recorded ${await plantHistory(demo, sites, now)} events of three months`);
  const sent = await sendToday(demo, sites);
  await delivered(demo, sites);
  const outcomes = Object.entries(sent.outcomes).map(([outcome, count]) => `${count} ${outcome}`);
  say(`Sent ${sent.events} events of today in ${sent.requests} requests: ${outcomes.join(', ')}`);
  await freezeMonths(demo, now);
  say('Froze and sealed the invoices of the two months that have ended');
  const money = await moveMoney(demo);
  say(
    `Made ${money.deposits} deposits and ${summed(money.withdrawals)} withdrawals of ${money.players.length} players`,
  );
  const said = await importHistory(demo, money.players, since, now);
  say(`Imported ${said} events of a shop's history and applied them`);
  await administrate(demo, sites, money);
  const faults = await plantMoneyFaults(demo, money);
  await hearWebhooks(demo);
  const found = await reconcile(demo, now);
  say(`Reconciled the wallets and the provider, which leaves ${found} findings open`);
  await demo.cron('/api/cron/reconcile-usage');
  const drifting = sites.find(({ public_id }) => public_id === drifting_site) as Site;
  faults.unshift(...(await plantDrift(demo, drifting, now)));
  if (options.tamper) faults.push(await tamper(demo, tampered_site, now));
  say(`Planted ${faults.length} faults`);
  return faults;
}

async function fillAgain(
  demo: Demo,
  options: FillOptions,
  now: Date,
  say: (sentence: string) => void,
): Promise<Fault[]> {
  if (options.tamper && !(await isTampered(demo, tampered_site, now))) {
    say('The stack is filled already: only a byte of a sealed month is changed');
    return [await tamper(demo, tampered_site, now)];
  }
  say('The stack is filled already, and nothing was added');
  return [];
}

/** What operators do beside the traffic: a price, a correction that waits for its second person, flags of a tenant. */
async function administrate(demo: Demo, sites: Site[], money: Money): Promise<void> {
  const admin = demo.as(userOf('platform-admin'));
  const [harbour, northwind] = sites as [Site, Site];
  const price = { currency: 'EUR', overage_price_per_1k: '0.40' };
  await admin('PUT', `/api/admin/sites/${northwind.id}/settlement`, price);
  await admin('POST', `/api/admin/sites/${harbour.id}/adjustments`, {
    ...{ corrects_month: monthStart(new Date(), -2).toISOString().slice(0, 7), event_delta: '-40' },
    reason: 'A load test of ours was counted; see ticket 4711.',
  });
  const tenant_id = money.players.at(-1)?.tenant;
  await admin('PUT', '/api/admin/flags/ledger_enforce_balance', { value: true, tenant_id });
  await admin('PUT', '/api/admin/flags/allow_negative_balance', { value: false, tenant_id });
}

async function knownSites({ database }: Demo): Promise<Set<string>> {
  const sql = 'select public_id from sites where public_id = any ($1)';
  const { rows } = await database.query(sql, [[first_site, last_site]]);
  return new Set(rows.map(({ public_id }) => public_id));
}

const summed = (counts: Record<string, number>) =>
  Object.values(counts).reduce((sum, count) => sum + count, 0);
