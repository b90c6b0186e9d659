// What becomes of an event of a payment provider: kept once, by whom it may be said, tried again, held until its time, applied once.
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase, type TestDatabase } from '../support/database.ts';
import { violations } from '../support/money.ts';
import {
  available,
  captured,
  type Doors,
  depositState,
  dueNow,
  findingsAbout,
  openDoors,
  type Payment,
  processDue,
  provider,
  type Told,
  told,
  waiting,
} from '../support/payment-provider.ts';
import { ask, setFlag } from '../support/withdrawals.ts';

let database: TestDatabase;
let doors: Doors;
beforeAll(async () => {
  database = await openDatabase();
  doors = await openDoors(database);
});
afterAll(async () => {
  expect(await violations(doors.root)).toEqual([]);
  await database.close();
});

const kept = async (event_id: string): Promise<number> =>
  (await doors.root.query('select count(*)::int n from provider_events where event_id = $1', [event_id]))
    .rows[0].n;
describe('an event is kept', () => {
  test('once by provider, account, event and item, whichever way it comes', async () => {
    const { player, payment } = await waiting(doors);
    const event = told(payment, 'deposit_captured');
    const first = await doors.webhook([event]);
    expect(first.events[0]).toMatchObject({ created: true, same: true, due: true, tx_id: payment.id });
    const { id } = first.events[0];
    expect((await doors.webhook([event])).events[0]).toMatchObject({ id, created: false, same: true });
    expect(await doors.list([event])).toMatchObject({ known: '1', created: '0', due: [id] });
    const items = ['a', 'b', 'a'].map((item) => ({ ...event, item }));
    const answers = await doors.webhook(items);
    expect(answers.events.map(({ created }: { created: boolean }) => created)).toEqual([true, true, false]);
    await doors.webhook([event], { account: 'other' });
    expect(await kept(event.event_id)).toBe(4);
    expect(await findingsAbout(doors, event.event_id)).toEqual([]);
    expect(await available(doors, player)).toBe('0');
  });

  test('as it was first told: another body under its id is one finding', async () => {
    const { player, payment } = await waiting(doors);
    const event = told(payment, 'deposit_captured');
    await doors.hook(event);
    for (const amount_minor of ['7000', '9000']) {
      const [again] = (await doors.webhook([{ ...event, amount_minor }])).events;
      expect(again).toMatchObject({ created: false, same: false });
    }
    expect(await findingsAbout(doors, event.event_id)).toEqual(['payload_conflict 0']);
    await doors.take(event);
    expect([await depositState(doors, payment), await available(doors, player)]).toEqual([
      ['completed', '0', '0'],
      '100',
    ]);
  });

  test.each(['a player', 'a tenant'])(
    'and ignored with a finding when it names %s that is not',
    async (who) => {
      const { player, payment } = await waiting(doors);
      const wrong = who === 'a player' ? { player_id: randomUUID() } : { tenant_id: 'no-such' };
      const event = told(payment, 'deposit_captured', wrong);
      const [answer] = (await doors.webhook([event])).events;
      expect(answer).toMatchObject({ created: true, unknown: true, due: false });
      await doors.process([answer.id]);
      expect(await doors.row(event.event_id)).toMatchObject({ status: 'ignored', attempts: 0 });
      expect(await findingsAbout(doors, event.event_id)).toEqual(['unknown_player 0']);
      expect([(await depositState(doors, payment))[0], await available(doors, player)]).toEqual([
        'pending_provider',
        '0',
      ]);
    },
  );

  test('and ignored when it does not concern money', async () => {
    const { payment } = await waiting(doors);
    const event = { ...told(payment, 'deposit_captured'), kind: null, ignored: true } as unknown as Told;
    expect((await doors.webhook([event])).events[0]).toMatchObject({ unknown: false, due: false });
    expect(await doors.row(event.event_id)).toMatchObject({ status: 'ignored', kind: null });
  });

  test('from no source but a webhook, a list or a file', async () => {
    const [job] = doors.jobs as [pg.Client];
    await expect(ask(job, `receive_events($1, '', 'rumour', '[]')`, provider)).rejects.toMatchObject({
      code: 'RK015',
    });
    expect(await doors.webhook([], { of: 'nobody' })).toMatchObject({ code: 'UNSUPPORTED_PROVIDER' });
  });
});

describe('a webhook without a valid signature', () => {
  const refused = { outcome: 'refused', code: 'WEBHOOK_SIGNATURE_INVALID' };

  test.each(['none', 'invalid'] as const)(
    'is taken from a test provider while the flag is off, and recorded as %s',
    async (signature) => {
      const event = told((await waiting(doors)).payment, 'deposit_captured');
      expect(await doors.webhook([event], { signature })).toMatchObject({ outcome: 'done' });
      expect(await doors.row(event.event_id)).toMatchObject({ signature });
    },
  );

  test('is refused where the flag is on for the tenant, or for all but a tenant', async () => {
    const mine = told((await waiting(doors)).payment, 'deposit_captured');
    const other = told((await waiting(doors, 'other')).payment, 'deposit_captured');
    const hook = (event: Told) => doors.webhook([event], { signature: 'none' });
    await setFlag(doors.root, 'webhook_signature_enforced', true);
    expect(await hook(mine)).toEqual(refused);
    expect(await hook(other)).toMatchObject({ outcome: 'done' });
    expect(await doors.webhook([other, mine], { signature: 'none' })).toEqual(refused);
    await setFlag(doors.root, 'webhook_signature_enforced', false);
    await ask(doors.root, `set_flag('webhook_signature_enforced', true, null, null, 'test')`);
    expect(await hook(mine)).toMatchObject({ outcome: 'done' });
    expect(await hook(told((await waiting(doors, 'other')).payment, 'deposit_captured'))).toEqual(refused);
    expect(await doors.webhook([mine], { signature: 'valid' })).toMatchObject({ outcome: 'done' });
    await ask(doors.root, `set_flag('webhook_signature_enforced', false, null, null, 'test')`);
    await setFlag(doors.root, 'webhook_signature_enforced', null);
  });

  test.each(['stripe', 'paynow'])('is refused of %s, whatever the flag says', async (of) => {
    const event = told((await waiting(doors)).payment, 'deposit_captured');
    for (const signature of ['none', 'invalid'] as const)
      expect(await doors.webhook([event], { signature, of })).toEqual(refused);
    expect(await kept(event.event_id)).toBe(0);
  });
});

describe('an event that cannot be applied', () => {
  /** A refund without an amount: nothing can be made of it. */
  const broken = (payment: Payment) => {
    const { amount_minor: _, ...rest } = told(payment, 'refund', { ref: randomUUID() });
    return rest as Told;
  };

  test('is tried again, twice as late each time, and is dead after eight attempts with one finding', async () => {
    const { player, payment } = await captured(doors);
    const event = broken(payment);
    const [id] = (await doors.hook(event)) as [string];
    const waits: number[] = [];
    for (let attempt = 1; attempt <= 8; attempt++) {
      await dueNow(doors, event.event_id);
      await doors.process([id]);
      const { status, attempts, next_attempt_at, last_error } = await doors.row(event.event_id);
      expect([status, attempts]).toEqual([attempt === 8 ? 'dead' : 'failed', attempt]);
      expect(last_error).not.toBe(null);
      waits.push(Math.round((next_attempt_at.getTime() - Date.now()) / 10_000));
      expect(await doors.process([id])).toEqual([]); // not before its time
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 128]);
    await dueNow(doors, event.event_id);
    await processDue(doors);
    expect(await doors.row(event.event_id)).toMatchObject({ status: 'dead', attempts: 8 });
    expect(await findingsAbout(doors, event.event_id)).toEqual(['event_dead 0']);
    expect(await available(doors, player)).toBe('100');
  });

  test('holds back no other event of its call', async () => {
    const [bad, good] = [await captured(doors), await waiting(doors)];
    const ids = await doors.hook(broken(bad.payment), told(good.payment, 'deposit_captured'));
    const done = await doors.process(ids);
    expect(done.map(({ outcome: became }) => became).sort()).toEqual(['failed', 'settled']);
    expect(await available(doors, good.player)).toBe('100');
  });

  test('holds back no capture that it waited for', async () => {
    const { player, payment } = await waiting(doors);
    const event = broken(payment);
    expect(await doors.take(event)).toMatchObject({ status: 'held' });
    await doors.take(told(payment, 'deposit_captured'));
    expect([(await depositState(doors, payment))[0], await available(doors, player)]).toEqual([
      'completed',
      '100',
    ]);
    expect(await doors.row(event.event_id)).toMatchObject({ status: 'failed' });
  });

  test('is not dead the sooner for how often it had to wait before', async () => {
    const { payment } = await waiting(doors);
    const event = broken(payment);
    await doors.take(event);
    await doors.root.query('update provider_events set attempts = 12 where event_id = $1', [event.event_id]);
    await doors.take(told(payment, 'deposit_captured'));
    const { status, failures, next_attempt_at } = await doors.row(event.event_id);
    expect([status, failures]).toEqual(['failed', 1]);
    expect(next_attempt_at.getTime() - Date.now()).toBeLessThan(11_000);
  });

  test('is found by the schedule when no message named it: at once when due, else after twenty seconds', async () => {
    const { player, payment } = await waiting(doors);
    const event = told(payment, 'deposit_captured');
    await doors.hook(event);
    await processDue(doors);
    expect(await doors.row(event.event_id)).toMatchObject({ status: 'received' });
    await dueNow(doors, event.event_id);
    expect(await processDue(doors)).toContainEqual(expect.objectContaining({ outcome: 'settled' }));
    expect(await available(doors, player)).toBe('100');
  });
});

describe('a call', () => {
  test('of process beside others with the same events applies each once', async () => {
    const players: Awaited<ReturnType<typeof waiting>>[] = [];
    for (let n = 0; n < 6; n++) players.push(await waiting(doors));
    const events = players.flatMap(({ payment }) => [
      told(payment, 'deposit_captured'),
      told(payment, 'refund', { amount_minor: '40', ref: randomUUID() }),
      told(payment, 'deposit_authorized'),
    ]);
    const ids = await doors.hook(...events);
    const done = (await Promise.all(doors.jobs.map((job) => doors.process(ids, job)))).flat();
    await doors.process(ids);
    expect(done.filter(({ outcome: became }) => became === 'failed')).toEqual([]);
    for (const { player, payment } of players)
      expect([await depositState(doors, payment), await available(doors, player)]).toEqual([
        ['completed', '40', '0'],
        '60',
      ]);
    const { rows } = await doors.root.query(
      `select count(*)::int n from transfers where reference = any($1) group by reference`,
      [players.map(({ payment }) => payment.id)],
    );
    expect(rows.map(({ n }) => n)).toEqual(players.map(() => 2));
  });

  test('whose reply was lost and that is made again changes nothing', async () => {
    const { player, payment } = await waiting(doors);
    const events = [
      told(payment, 'deposit_captured'),
      told(payment, 'chargeback', { amount_minor: '30', ref: randomUUID() }),
    ];
    const ids = await doors.hook(...events);
    await doors.process(ids);
    const books = async () =>
      (
        await doors.root.query(
          `select (select jsonb_agg(e order by e.id) from provider_events e where e.tx_id = $1) events, (select max(no) from transfers) last,
                  (select to_jsonb(d) from deposits d where d.id = $1) deposit, (select count(*) from reconciliation_findings) findings`,
          [payment.id],
        )
      ).rows;
    const before = await books();
    expect(await doors.hook(...events)).toEqual(ids);
    expect(await doors.list(events)).toMatchObject({ created: '0', due: [] });
    for (const job of doors.jobs) expect(await doors.process(ids, job)).toEqual([]);
    await processDue(doors);
    expect(await books()).toEqual(before);
    expect(await available(doors, player)).toBe('70');
  });
});
