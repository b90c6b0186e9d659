// Scratch: a stack that stays up with money in it.
import { writeFileSync, existsSync, rmSync, readFileSync } from 'node:fs';
import { createServer, request as ask } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'vitest';
import { consoleFiles } from '../../local/http/console.ts';
import { demoUsers } from '../../local/issuer.ts';
import { openStack } from '../support/stack.ts';
import { caller, key, openPlayer } from '../support/money-doors.ts';
import { payoutWithoutAnswer } from '../support/payment-doors.ts';

test('stands', async () => {
  const stack = await openStack();
  const server = createServer((q, r) => {
    const pages = consoleFiles('/tmp/mine-money', { stage: 'local', region: 'eu-west-1', issuer: stack.issuer });
    const a = pages(q) as any;
    if (a) { r.writeHead(a.status, a.headers); r.end(a.body); return; }
    const u = new URL(stack.url);
    const on = ask({ hostname: u.hostname, port: u.port, method: q.method, path: q.url, headers: q.headers }, (b) => { r.writeHead(b.statusCode ?? 500, b.headers); b.pipe(r); });
    on.on('error', () => r.destroy());
    q.pipe(on);
  });
  await new Promise<void>((d) => server.listen(0, '127.0.0.1', d));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const finance = await caller(stack, ['finance']);
  const players = [];
  for (let n = 0; n < 3; n++) {
    const p = await openPlayer(stack);
    players.push(p.id);
    await p.deposit(String(50_000 + n * 1000));
    await p.call('POST', '/player/wallet/deposit', { amount_minor: '40000', currency: 'EUR', method: 'test' }, key());
    for (const [k, end] of (['requested', 'approved', 'paid', 'rejected', 'failed', 'unknown', 'canceled', 'requested'] as const).entries()) {
      const { body } = await p.call('POST', '/player/wallet/withdraw', { amount_minor: String(1000 + 111 * k + n), currency: k % 2 ? 'EUR' : 'USD', method: 'test_bank', address: 'NL91 ABNA 0417 1643 00' }, key());
      const w = `/finance/withdrawals/${body.tx_id}`;
      if (end === 'canceled') await p.call('POST', `/player/wallet/withdrawals/${body.tx_id}/cancel`);
      else if (end === 'rejected') await finance('POST', `${w}/review`, { action: 'reject', reason: 'account of another name' });
      else if (end !== 'requested') await finance('POST', `${w}/review`, { action: 'approve', reason: 'checked' });
      const outcome = { paid: 'success', failed: 'fail', unknown: 'timeout' }[end as string];
      if (outcome) await finance('POST', `${w}/payout`, {}, { ...key(), 'x-mock-outcome': outcome });
      if (k === 3) await new Promise((d) => setTimeout(d, 20));
    }
    await stack.database.query(`update withdrawals set created_at = created_at - interval '2 hours'`).catch(() => undefined);
  }
  await finance('POST', '/admin/ledger/adjust', { player_id: players[0], delta_minor: '-250', reason: 'fee taken twice' }, key());
  const p = await openPlayer(stack);
  await p.deposit('30000', { 'x-mock-outcome': 'partial' });
  await p.deposit('22000', { 'x-mock-outcome': 'lost' });
  await p.deposit('25000', { 'x-mock-outcome': 'lost' });
  await payoutWithoutAnswer(stack, 'mockpsp');
  const tokens = Object.fromEntries(await Promise.all(demoUsers.map(async (u) => [u.name.split(' ')[0], await stack.issuer.token(u)])));
  writeFileSync('/tmp/money-stand.json', JSON.stringify({ url, tokens, players, last: p.id, demo: demoUsers, pg: stack.postgres.superuserUrl }));
  while (!existsSync('/tmp/money-stop')) await new Promise((d) => setTimeout(d, 500));
  rmSync('/tmp/money-stop');
  server.closeAllConnections(); server.close();
  await stack.close();
}, 3_600_000);
