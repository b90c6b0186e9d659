// The main task of each page, done in Chromium by a person whose role it is, on the stack that the demo filled.
import type { Browser, Page } from 'playwright-core';
import { describe, expect } from 'vitest';
import { enter } from '../browser/console.ts';
import { inBrowser } from '../browser/shop.ts';
import { monthsAgo } from '../support/frozen-month.ts';
import type { TestStack } from '../support/stack.ts';

export interface Scene {
  stack: TestStack;
  browser: Browser;
  /** The finding of the planted difference of amounts, by its transaction. */
  mismatch: string;
}

const site = 'demo-northwind';

/** Each in a tab of its own, in which nothing may be complained of. */
function as(scene: () => Scene, who: string, path: string, does: (page: Page) => Promise<void>) {
  return async () => {
    const { browser, stack } = scene();
    const person = await enter(browser, stack, who);
    await person.open(path);
    await does(person.page);
    expect(person.complaints).toEqual([]);
    await person.close();
  };
}
const main = (page: Page) => page.getByRole('main');
const button = (page: Page, name: string | RegExp) => page.getByRole('button', { name, exact: true }).last();
const said = (page: Page, words: string | RegExp) =>
  page.getByRole('dialog').last().getByRole('status').filter({ hasText: words }).waitFor();

export function mainTasks(scene: () => Scene): void {
  describe('the main task of a page', () => {
    inBrowser(
      'a site: its owner goes from a term of the waterfall to its rows, and from a row to every decision on it',
      as(scene, 'Olive Owner', `/sites/${site}?month=${monthsAgo(1)}`, async (page) => {
        await main(page)
          .getByRole('link', { name: /In the ledger/ })
          .first()
          .click();
        await page.waitForURL(/\/events\?/);
        await main(page)
          .locator('tbody')
          .getByRole('button')
          .or(main(page).locator('tbody a'))
          .first()
          .click();
        const receipt = page.getByRole('dialog', { name: 'What was decided on this event' });
        await receipt.getByText(/Admitted: /).waitFor();
        await receipt.getByText('Delivered to the events table').waitFor();
        await receipt.getByText(/Frozen into the invoice of /).waitFor();
      }),
    );

    inBrowser(
      'plans: a platform admin sets a limit and has overage charged, and the history names both',
      as(scene, 'Pat Platform', `/plans?id=${site}`, async (page) => {
        await button(page, 'Set the plan').click();
        await page.getByLabel('Monthly limit (events)').fill('4321');
        await button(page, 'Set the limit to 4,321').click();
        await said(page, 'The limit is 4,321 events a month now.');
        await button(page, 'Close').click();
        await button(page, 'Charge overage').click();
        await page.getByLabel('Price of 1,000 events of overage').fill('0.40');
        await page.getByLabel('Currency', { exact: true }).fill('usd');
        await button(page, 'Charge 0.40 USD per 1,000').click();
        await said(page, /overage costs 0.40 USD per 1,000 events/);
        const { body } = await scene().stack.admin('GET', `/sites/${site}/settlement`);
        expect(body.settlement).toMatchObject({ currency: 'USD', overage_price_per_1k: '0.400000' });
      }),
    );

    inBrowser(
      'dispute: who holds billing exports a frozen month, and the page verifies the file',
      as(scene, 'Bill Billing', `/dispute?site=${site}&month=${monthsAgo(1)}`, async (page) => {
        await button(page, /^Export [\d,]+ rows$/).click();
        await main(page)
          .getByText(/^✓ Verified: /)
          .waitFor();
        const file = page.waitForEvent('download');
        await button(page, /^Save dispute-export-/).click();
        expect((await file).suggestedFilename()).toMatch(/^dispute-export-[0-9a-f]{8}-\d{4}-\d\d\.csv$/);
      }),
    );

    inBrowser(
      'wallets: finance sees a trial balance of zero, an account, and both legs of a movement on it',
      as(scene, 'Fay Finance', '/wallets', async (page) => {
        await main(page)
          .getByText(/^Debits and credits balance: /)
          .first()
          .waitFor();
        await main(page)
          .getByRole('table', { name: 'Accounts of the tenant' })
          .locator('tbody a')
          .first()
          .click();
        await page.getByRole('heading', { level: 1, name: /^Account / }).waitFor();
        await main(page).locator('tbody').getByRole('button').first().click();
        const movement = page.getByRole('dialog', { name: 'Movement' });
        await movement.getByText(/^The entries sum to zero in /).waitFor();
        expect(await movement.locator('tbody tr').count()).toBeGreaterThan(1);
      }),
    );

    inBrowser(
      'findings: finance takes one on and accepts it with a reason',
      as(scene, 'Finn Finance', '/findings', async (page) => {
        const { rows } = await scene().stack.database.query(
          'select id from reconciliation_findings where tx_id = $1',
          [scene().mismatch],
        );
        await page.goto(`${scene().stack.url}/console/findings/${rows[0].id}`);
        await button(page, 'Take it myself').click();
        await button(page, 'Give it back').waitFor();
        await button(page, 'Accept the difference').click();
        await page.getByLabel('Reason').fill('agreed with the provider');
        await button(page, 'Accept the difference').click();
        await said(page, 'Resolved.');
      }),
    );

    inBrowser(
      'jobs: who operates a site has a month whose job was given up reconciled again',
      as(scene, 'Otto Operator', '/jobs?site=demo-lumen', async (page) => {
        const given_up = main(page).getByRole('row').filter({ hasText: 'it has failed too often' });
        await given_up.getByRole('button', { name: /^Reconcile again: / }).click();
        await button(page, 'Reconcile again').click();
        await said(page, /is queued; the next run takes it up\.$/);
      }),
    );

    inBrowser(
      'backfills: the service sees by a dry run what missed events would do',
      as(scene, 'Sam Service', '/jobs', async (page) => {
        await button(page, 'Apply missed events').click();
        await button(page, 'Dry run').click();
        await page
          .getByText(/^Dry run: /)
          .first()
          .waitFor();
      }),
    );

    inBrowser(
      'flags and audit: a platform admin sets a flag for a tenant, and the audit log names who did it',
      as(scene, 'Pat Platform', '/flags?id=backfill_enabled', async (page) => {
        await button(page, 'Set for a tenant').click();
        await page.getByRole('dialog').last().getByLabel('Tenant', { exact: true }).fill('acme');
        await button(page, 'Set it for this tenant').click();
        await said(page, / for acme\.$/);
        await page.goto(`${scene().stack.url}/console/audit?resource_id=backfill_enabled`);
        await main(page).locator('tbody').getByText('acme').first().waitFor();
      }),
    );

    inBrowser(
      'API: an operation is found by a word and given as a command',
      as(scene, 'Ana Analyst', '/api', async (page) => {
        await page.getByLabel('Search operations').fill('erasures');
        await page.keyboard.press('Enter');
        await main(page)
          .getByText(/^[12] operations?$/)
          .waitFor();
        await main(page).getByText('/api/sites/{ref}/erasures').first().click();
        await main(page)
          .getByText(/curl .*erasures/)
          .first()
          .waitFor();
      }),
    );
  });
}
