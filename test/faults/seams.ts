// The crash matrix as data: every outside step of ingest, deliver and recover, and every way in which it can fail.

import type { Effect, Rule } from './door-faults.ts';
import type { Death } from './rig.ts';
import { proving } from './sections.ts';

export const outcomes = [
  'error', // a named AWS error, at each of the SDK's attempts; nothing runs
  'cut', // the connection is cut before anything runs, at each attempt
  'cut once', // and the SDK's second attempt succeeds
  'reply lost once', // done, and the SDK does it again
  'reply lost', // done, at each attempt
  'late', // done, but later
  'death before', // the worker dies when it is about to do it
  'death during', // the worker dies, and what it asked for is done while the caller tries again
  'death after', // the worker dies when it is done
] as const;
export type Outcome = (typeof outcomes)[number];

/** What becomes of the first try: a 2xx, a closed gate, the job's 5xx, the gateway's 500, or a message that comes again. */
export type Told =
  | 'queued'
  | 'duplicate'
  | 'degraded'
  | 'billing_gate_closed'
  | 'done'
  | 'failed'
  | 'message again'
  | 'no answer';

export interface Seam {
  entry: 'ingest' | 'deliver' | 'recover';
  name: string;
  /** The bundle whose step it is, or the event source. */
  caller: 'ingest' | 'deliver' | 'recover' | 'event source';
  /** Without it, the seam is the handler itself: its worker can only die. */
  call?: Pick<Rule, 'service' | 'operation' | 'statement'> & {
    nth?: number;
    attempts: number;
    error: string;
  };
  /** Another step that must fail for this one to be taken. */
  when?: 'the queue is away';
  only?: Outcome[];
}

const deaths: Outcome[] = ['death before', 'death after'];
const database = { service: 'rds-data', operation: 'ExecuteStatement', attempts: 2 } as const;
const table = { service: 'dynamodb', operation: 'UpdateItem', attempts: 1 } as const;

const lookup = { ...database, statement: 'site_for_ingest', error: 'DatabaseUnavailableException' };
const ledger = { ...database, statement: 'ingest', error: 'DatabaseUnavailableException' };
const note = { ...database, statement: 'record_publish_failure', error: 'ServiceUnavailableError' };
const send = { service: 'sqs', operation: 'SendMessage', attempts: 2, error: 'ServiceUnavailable' };
const receive = { service: 'sqs', operation: 'ReceiveMessage', attempts: 2, error: 'ServiceUnavailable' };
const remove = { service: 'sqs', operation: 'DeleteMessageBatch', attempts: 2, error: 'ServiceUnavailable' };
const secret = {
  service: 'secretsmanager',
  operation: 'GetSecretValue',
  attempts: 3,
  error: 'InternalServiceError',
};

export const seams: Seam[] = [
  { entry: 'ingest', caller: 'ingest', name: 'handler', only: deaths },
  { entry: 'ingest', caller: 'ingest', name: 'site lookup', call: lookup },
  {
    entry: 'ingest',
    caller: 'ingest',
    name: 'rate limit',
    call: { ...table, nth: 1, error: 'ProvisionedThroughputExceededException' },
  },
  { entry: 'ingest', caller: 'ingest', name: 'ledger', call: ledger },
  { entry: 'ingest', caller: 'ingest', name: 'publish', call: send },
  {
    entry: 'ingest',
    caller: 'ingest',
    name: 'usage counter',
    call: { ...table, nth: 2, error: 'InternalServerError' },
  },
  {
    entry: 'ingest',
    caller: 'ingest',
    name: 'note of a failed publish',
    call: note,
    when: 'the queue is away',
  },
  { entry: 'deliver', caller: 'deliver', name: 'handler', only: deaths },
  {
    entry: 'deliver',
    caller: 'deliver',
    name: 'move',
    call: { ...database, statement: 'deliver', error: 'DatabaseUnavailableException' },
  },
  {
    entry: 'deliver',
    caller: 'event source',
    name: 'receive',
    call: receive,
    only: ['reply lost once', 'reply lost'],
  },
  {
    entry: 'deliver',
    caller: 'event source',
    name: 'delete',
    call: remove,
    only: ['error', 'cut', 'cut once', 'reply lost once', 'reply lost', 'late'],
  },
  { entry: 'recover', caller: 'recover', name: 'handler', only: deaths },
  { entry: 'recover', caller: 'recover', name: 'cron secret', call: secret },
  {
    entry: 'recover',
    caller: 'recover',
    name: 'move',
    call: { ...database, statement: 'recover', error: 'DatabaseUnavailableException' },
  },
];

export interface Cell {
  seam: Seam;
  outcome: Outcome;
  told: Told;
  /** Whether the ledger holds the events when the first answer comes; undefined when it may be either. */
  committed: boolean | undefined;
}

/** What a quick run leaves to the proof: a step that is only late. */
const quick = outcomes.filter((outcome) => proving || outcome !== 'late');

/** Every cell that can exist: a step that the SDK tries once cannot fail once and succeed; only statements outlive their caller. */
export const cells: Cell[] = seams.flatMap((seam) =>
  (seam.only ?? outcomes)
    .filter((outcome) => (seam.call?.attempts ?? 0) > 1 || !outcome.endsWith('once'))
    .filter((outcome) => quick.includes(outcome))
    .filter((outcome) => seam.call?.service === 'rds-data' || outcome !== 'death during')
    .map((outcome) => ({ seam, outcome, told: told(seam, outcome), committed: committed(seam, outcome) })),
);

/** The rules and deaths that make a cell happen, for the deployed names of its caller and of ingest. */
export function faultsOf({ seam, outcome }: Cell, caller: string, ingest: string) {
  const rules: Rule[] = [];
  const dying: Death[] = [];
  if (seam.when) rules.push(queueAway(ingest));
  if (!seam.call) dying.push({ caller, point: pointOf(outcome) });
  else {
    const { attempts, error, nth = 1, ...call } = seam.call;
    const times =
      outcome.endsWith('once') || outcome.startsWith('death') || outcome === 'late' ? 1 : attempts;
    rules.push({ ...call, caller, nth, times, point: pointOf(outcome), effect: effectOf(outcome, error) });
  }
  return { rules, deaths: dying };
}

/** No message gets to the queue, so that events stay in the outbox. */
export function queueAway(caller: string, times = send.attempts): Rule {
  const { service, operation, error } = send;
  return {
    caller,
    service,
    operation,
    point: 'before',
    times,
    effect: { kind: 'error', error, status: 503 },
  };
}

function pointOf(outcome: Outcome): 'before' | 'after' {
  return outcome.startsWith('reply lost') || outcome === 'death after' ? 'after' : 'before';
}

function effectOf(outcome: Outcome, error: string): Effect {
  if (outcome === 'error') return { kind: 'error', error, status: 503 };
  if (outcome === 'late') return { kind: 'delay', ms: 150 };
  if (outcome === 'death during') return { kind: 'orphan' };
  return { kind: outcome.startsWith('death') ? 'kill' : 'drop' };
}

function told({ entry, name, when }: Seam, outcome: Outcome): Told {
  const spent = outcome === 'error' || outcome === 'cut' || outcome === 'reply lost';
  const death = outcome.startsWith('death');
  if (entry === 'deliver') {
    const deleted = name === 'delete' && outcome === 'reply lost';
    return (spent && !deleted) || death || name === 'receive' ? 'message again' : 'done';
  }
  if (death) return 'no answer';
  if (entry === 'recover') return spent ? 'failed' : 'done';
  if (when) return 'degraded';
  if (name === 'site lookup' && spent) return 'billing_gate_closed';
  if (name === 'ledger' && spent) return 'billing_gate_closed';
  if (name === 'ledger' && outcome === 'reply lost once') return 'duplicate';
  if (name === 'publish' && spent) return 'degraded';
  return 'queued';
}

function committed(seam: Seam, outcome: Outcome): boolean | undefined {
  if (['queued', 'duplicate', 'degraded'].includes(told(seam, outcome))) return true;
  if (seam.name === 'site lookup' || seam.name === 'rate limit') return false;
  if (seam.name === 'ledger' && outcome === 'death during') return undefined;
  if (seam.name === 'ledger' || seam.name === 'handler') return pointOf(outcome) === 'after';
  return true;
}
