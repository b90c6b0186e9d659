// Random stories of payments: what really happened to each, and what their provider tells of it, shuffled, repeated and disturbed.
import fc from 'fast-check';
import { type Payment, type Told, told } from './payment-provider.ts';
import type { Random } from './random.ts';

export const currencies = ['USD', 'JPY'];
export const players_count = 3;

/** What a provider tells that is not so; each leaves one finding and moves nothing. */
const lies = [
  'wrong amount',
  'wrong currency',
  'unknown transaction',
  'other tenant',
  'unknown player',
] as const;
export type Lie = (typeof lies)[number];
export const finding_of: Record<Lie, string> = {
  'wrong amount': 'amount_mismatch',
  'wrong currency': 'currency_mismatch',
  'unknown transaction': 'unknown_transaction',
  'other tenant': 'owner_mismatch',
  'unknown player': 'unknown_player',
};

const whose = {
  player: fc.nat(players_count - 1),
  currency: fc.constantFrom(...currencies),
  amount: fc.integer({ min: 2, max: 300 }),
  lies: fc.uniqueArray(fc.constantFrom(...lies), { maxLength: 2 }),
  /** How often each event comes, taken in turn. */
  copies: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }),
  /** The provider's own answer to the order comes beside its webhooks. */
  answered: fc.boolean(),
};
const deposit = fc.record({
  ...whose,
  end: fc.constantFrom('captured', 'captured', 'captured', 'captured after a failure', 'failed', 'open'),
  authorized: fc.boolean(),
  reversals: fc.array(
    fc.record({
      kind: fc.constantFrom('refund', 'chargeback'),
      percent: fc.integer({ min: 1, max: 100 }),
      won: fc.boolean(),
      toldTwice: fc.boolean(),
    }),
    { maxLength: 3 },
  ),
});
const withdrawal = fc.record({
  ...whose,
  failures: fc.nat(2),
  end: fc.constantFrom('paid', 'paid', 'open', 'failed', 'rejected', 'paid unasked'),
});
export const story = fc.record({
  deposits: fc.array(deposit, { minLength: 1, maxLength: 3 }),
  withdrawals: fc.array(withdrawal, { maxLength: 2 }),
  seed: fc.nat(),
});
export type Story = typeof story extends fc.Arbitrary<infer S> ? S : never;
export type DepositStory = Story['deposits'][number];
export type WithdrawalStory = Story['withdrawals'][number];

export type Step =
  | { do: 'tell'; event: Told; by: 'webhook' | 'list' }
  | { do: 'answer'; payment: Payment; status: string; event_id: string }
  | { do: 'payout' | 'reject'; payment: Payment; nth: number }
  | { do: 'answer payout'; payment: Payment; nth: number; status: string; event_id: string };
/** Steps that come in this order, with those of other tracks between them. */
export type Track = Step[];

export interface Reversal {
  kind: string;
  amount: number;
  won: boolean;
  toldTwice: boolean;
}

/** Refunds and chargebacks as they really came: each of what was left, to which a won dispute gives back. */
export function reversalsOf({ amount, reversals }: DepositStory): Reversal[] {
  let left = amount;
  return reversals.flatMap(({ kind, percent, won, toldTwice }) => {
    if (left === 0) return [];
    const taken = Math.max(1, Math.floor((left * percent) / 100));
    const back = won && kind === 'chargeback';
    if (!back) left -= taken;
    return [{ kind, amount: taken, won: back, toldTwice }];
  });
}

/** The truth of a deposit: its state, and what was refunded and charged back in the end. */
export function depositTruth(story: DepositStory): [state: string, refunded: number, charged_back: number] {
  if (story.end === 'failed') return ['failed', 0, 0];
  if (story.end === 'open') return ['pending_provider', 0, 0];
  const sum = (of: string) =>
    reversalsOf(story).reduce((n, { kind, amount, won }) => n + (kind === of && !won ? amount : 0), 0);
  return ['completed', sum('refund'), sum('chargeback')];
}

/** The truth of a withdrawal: its state, and how often money left for it. */
export function withdrawalTruth({ end }: WithdrawalStory): [state: string, debits: number] {
  if (end === 'open') return ['payout_pending', 0];
  if (end === 'rejected') return ['rejected', 0];
  if (end === 'failed') return ['payout_failed', 0];
  return ['paid', 1];
}

/** What a lie makes of an event that is true; of a payment of `stranger`, who is of another tenant. */
export function lie(what: Lie, event: Told, stranger: { tenant_id: string; player_id: string }): Told {
  const other = { ...event, event_id: `${what}:${event.event_id}` };
  if (what === 'wrong amount') return { ...other, amount_minor: String(Number(event.amount_minor) + 1) };
  if (what === 'wrong currency') return { ...other, currency: 'EUR' };
  if (what === 'unknown transaction') return { ...other, tx_id: crypto.randomUUID() };
  if (what === 'other tenant') return { ...other, ...stranger };
  return { ...other, player_id: crypto.randomUUID() };
}

/** All that is told of a deposit, each delivery a track of its own: any order may be. */
export function depositTracks(
  story: DepositStory,
  payment: Payment,
  stranger: { tenant_id: string; player_id: string },
  source: Random,
): Track[] {
  const events: Told[] = [];
  const captured = told(payment, 'deposit_captured');
  const failed = told(payment, 'deposit_failed');
  if (story.authorized) events.push(told(payment, 'deposit_authorized'));
  if (story.end.startsWith('captured')) events.push(captured);
  if (story.end === 'failed' || story.end === 'captured after a failure') events.push(failed);
  reversalsOf(story).forEach(({ kind, amount, won, toldTwice }, n) => {
    const ref = `${kind}-${n}-${payment.id}`;
    const of = { ref, amount_minor: String(amount) };
    events.push(told(payment, kind, of));
    if (toldTwice) events.push(told(payment, kind, of)); // another event of the same refund
    if (won) events.push(told(payment, 'chargeback_won', of));
  });
  const tracks = deliveries(events, story.copies, source);
  tracks.push(...story.lies.map((what) => [tell(lie(what, captured, stranger), source)]));
  const status = ({ captured: 'CAPTURED', failed: 'FAILED' } as Record<string, string>)[story.end];
  const { event_id } = story.end === 'failed' ? failed : captured;
  if (story.answered && status) tracks.push([{ do: 'answer', payment, status, event_id }]);
  return tracks;
}

/** What finance and the provider do in turn, one track; each repetition comes some time after what it repeats. */
export function withdrawalTracks(
  story: WithdrawalStory,
  payment: Payment,
  stranger: { tenant_id: string; player_id: string },
  source: Random,
): Track[] {
  const track: Track = [];
  const settled = (nth: number, kind: 'withdraw_paid' | 'withdraw_failed', begun: boolean) => {
    const asked = begun ? { attempt_key: `tx_${payment.id}:${keyOf(payment, nth)}` } : {};
    const event = told(payment, kind, asked);
    const from = track.length;
    track.push(tell(event, source));
    const later: Step[] = deliveries([event], story.copies, source).flat().slice(1);
    if (begun) later.push(tell({ ...told(payment, kind, asked) }, source)); // another event of the same payout
    const status = kind === 'withdraw_paid' ? 'PAID' : 'FAILED';
    if (begun && story.answered)
      later.push({ do: 'answer payout', payment, nth, status, event_id: event.event_id });
    return { event, from, later };
  };
  const repeated: ReturnType<typeof settled>[] = [];
  for (let nth = 1; nth <= failuresOf(story); nth++) {
    track.push({ do: 'payout', payment, nth });
    repeated.push(settled(nth, 'withdraw_failed', true));
  }
  if (story.end === 'rejected') track.push({ do: 'reject', payment, nth: 0 });
  if (story.end === 'paid' || story.end === 'open')
    track.push({ do: 'payout', payment, nth: failuresOf(story) + 1 });
  if (story.end === 'paid') repeated.push(settled(failuresOf(story) + 1, 'withdraw_paid', true));
  if (story.end === 'paid unasked') repeated.push(settled(0, 'withdraw_paid', false));
  for (const { from, later } of repeated.reverse())
    for (const step of later) track.splice(from + 1 + source.below(track.length - from), 0, step);
  const lies = story.lies.map((what) => [tell(lie(what, told(payment, 'withdraw_paid'), stranger), source)]);
  return [track, ...lies];
}

/** The key of a try, which names it to the ledger and, with the payment, to the provider. */
export const keyOf = ({ id }: Payment, nth: number) => `${id} ${nth}`;

/** Whoever pays unasked was not asked before; and nothing fails in the end that did not fail once. */
export const failuresOf = ({ end, failures }: WithdrawalStory) =>
  end === 'paid unasked' ? 0 : end === 'failed' || end === 'rejected' ? Math.max(1, failures) : failures;

const tell = (event: Told, source: Random): Step => ({
  do: 'tell',
  event,
  by: source.below(4) === 0 ? 'list' : 'webhook',
});

function deliveries(events: Told[], copies: number[], source: Random): Track[] {
  return events.flatMap((event, n) =>
    Array.from({ length: copies[n % copies.length] ?? 1 }, () => [tell(event, source)]),
  );
}

/** One order of all steps that keeps the order of each track. */
export function interleave(tracks: Track[], source: Random): Step[] {
  const left = tracks.map((track) => [...track]).filter(({ length }) => length > 0);
  const steps: Step[] = [];
  while (left.length > 0) {
    const n = source.below(left.length);
    const track = left[n] as Track;
    steps.push(track.shift() as Step);
    if (track.length === 0) left.splice(n, 1);
  }
  return steps;
}
