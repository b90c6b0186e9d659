// The smoke of the console: a withdrawal from the player's request to the paid row on the page, and an approval without a mouse.
import { randomUUID } from 'node:crypto';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect } from 'vitest';
import type { DemoUser } from '../../local/issuer.ts';
import { caller, openPlayer, type Player } from '../support/money-doors.ts';
import { openStack, type TestStack } from '../support/stack.ts';
import { enter, openBrowser, type Person } from './console.ts';
import { hasBrowser, inBrowser } from './shop.ts';

let stack: TestStack;
let browser: Browser;
let finance: Person;
beforeAll(async () => {
  if (!hasBrowser) return;
  stack = await openStack();
  browser = await openBrowser();
  finance = await enter(browser, stack, 'Fay Finance');
});
afterAll(async () => {
  await browser?.close();
  await stack?.close();
});

async function asked(player: Player, amount: string): Promise<string> {
  const { body } = await player.withdraw(amount);
  return body.transaction.id;
}
const listed = async (state: string) => {
  const call = await caller(stack, ['finance']);
  const { body } = await call('GET', `/finance/withdrawals?state=${state}`);
  return body.items as { id: string; balance_after: string }[];
};
const row = (id: string) => finance.page.getByRole('row').filter({ hasText: id.slice(0, 8) });

inBrowser('a withdrawal goes from the request to paid, and every step is on the page', async () => {
  const { page } = finance;
  const player = await openPlayer(stack);
  expect((await player.deposit('1500')).status).toBeLessThan(300);
  const id = await asked(player, '1000');
  const [requested] = await listed('requested');
  expect(requested?.id).toBe(id);

  await page.goto(`${stack.url}/finance/withdrawals`);
  await page.getByRole('heading', { level: 1, name: 'Withdrawals' }).waitFor();
  expect(page.url()).toBe(`${stack.url}/console/finance/withdrawals`);
  await row(id)
    .getByRole('button', { name: /^Approve / })
    .click();
  await page.getByLabel('Reason').fill('known player');
  await page
    .getByRole('dialog')
    .getByRole('button', { name: /^Approve 10\.00/ })
    .click();
  await page.getByRole('status').filter({ hasText: 'can be paid now' }).waitFor();
  const [approved] = await listed('approved');
  expect(approved).toMatchObject({ id, balance_after: requested?.balance_after });

  await finance.open('/finance/withdrawals?state=approved');
  await row(id)
    .getByRole('button', { name: /^Mark paid / })
    .click();
  await page.getByLabel('Reason').fill('paid at the bank');
  await page
    .getByRole('dialog')
    .getByRole('button', { name: /^Mark 10\.00 .* paid$/ })
    .click();
  await page.getByRole('status').filter({ hasText: 'left the wallet' }).waitFor();
  expect((await listed('paid')).map((one) => one.id)).toEqual([id]);

  const again = await (await caller(stack, ['finance']))('POST', `/finance/withdrawals/${id}/review`, {
    action: 'approve',
    reason: 'once more',
  });
  expect(again.status).toBe(409);
  await finance.open('/finance/withdrawals?state=paid');
  await page.reload();
  await row(id).waitFor();
  expect(finance.complaints).toEqual([]);
});

inBrowser('a withdrawal is approved with the keyboard alone, and the focus comes back', async () => {
  const { page } = finance;
  const player = await openPlayer(stack);
  await player.deposit('2000');
  const id = await asked(player, '700');
  await finance.open('/finance/withdrawals');
  await row(id).waitFor();
  const focused = () =>
    page.evaluate(
      'document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent ?? ""',
    ) as Promise<string>;
  for (let n = 0; n < 200 && !(await focused()).startsWith('Approve 7.00'); n++)
    await page.keyboard.press('Tab');
  expect(await focused()).toContain(id);
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  for (let n = 0; n < 10 && (await page.evaluate('document.activeElement.name')) !== 'reason'; n++)
    await page.keyboard.press('Tab');
  await page.keyboard.type('checked by hand');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.getByRole('status').filter({ hasText: 'can be paid now' }).waitFor();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  expect((await listed('approved')).map((one) => one.id)).toContain(id);
});

inBrowser('a player pays in, asks for a withdrawal and takes it back on the example page', async () => {
  const id = randomUUID();
  const player = await openPlayer(stack);
  const person = await enter(browser, stack, {
    id: player.id,
    name: 'Player',
    role: 'player',
    groups: [],
  } as DemoUser);
  const { page } = person;
  await person.open('/player/wallet');
  await page.getByTestId('wallet-page').waitFor();
  await page.getByTestId('tab-deposit').click();
  await page.getByTestId('amount-input').fill('12.34');
  await page.getByTestId('submit-button').click();
  await expect.poll(() => page.getByTestId('wallet-balance').textContent()).toContain('12.34');
  await page.getByTestId('tab-withdraw').click();
  await page.getByTestId('amount-input').fill('10.00');
  await page.getByTestId('address-input').fill(`iban-${id.slice(0, 8)}`);
  await page.getByTestId('submit-button').click();
  await expect.poll(() => player.balance()).toEqual(['234', '1000', '1234']);
  await expect.poll(() => page.getByTestId('wallet-balance').textContent()).toContain('10.00');
  await page.getByRole('button', { name: /^Take back 10\.00/ }).click();
  await page
    .getByRole('dialog')
    .getByRole('button', { name: /^Take .* back$/ })
    .click();
  await expect.poll(() => player.balance()).toEqual(['1234', '0', '1234']);
  expect(person.complaints).toEqual([]);
  await person.close();
});

inBrowser('whoever asked for a withdrawal may not approve it, and is told why', async () => {
  const id = randomUUID();
  const groups = ['finance'];
  const own = await caller(stack, groups, id);
  const other = await caller(stack, groups);
  await own('POST', '/player/register', { tenant_id: 'default' });
  await other('POST', `/admin/players/${id}/verification`, { email_verified: true, sms_verified: true });
  await other('POST', `/admin/players/${id}/kyc`, { decision: 'approved', reason: 'test' });
  const key = () => ({ 'idempotency-key': randomUUID() });
  await own('POST', '/player/wallet/deposit', { amount_minor: '900', method: 'test' }, key());
  const { body } = await own(
    'POST',
    '/player/wallet/withdraw',
    { amount_minor: '500', method: 'test_bank' },
    key(),
  );
  const person = await enter(browser, stack, { id, name: 'Maker', role: 'finance', groups } as DemoUser);
  await person.open('/finance/withdrawals');
  const mine = person.page.getByRole('row').filter({ hasText: body.transaction.id.slice(0, 8) });
  expect(await mine.getByRole('button', { name: /^Approve / }).isDisabled()).toBe(true);
  await mine.getByText('somebody else decides').waitFor();
  const refused = await own('POST', `/finance/withdrawals/${body.transaction.id}/review`, {
    action: 'approve',
    reason: 'mine',
  });
  expect(refused.body.code).toBe('FOUR_EYES');
  await person.close();
});
