// The services of the game day as data: how each of them fails, and which alarm must ring.
import { SendMessageCommand } from '@aws-sdk/client-sqs';
import { expect } from 'vitest';
import { cronSecretOf } from '../support/callers.ts';
import type { Effect, Rule } from './door-faults.ts';
import { type Day, type Scenario, visibility_s } from './game-day.ts';
import { crashPostgres, restartPostgres } from './postgres-crash.ts';
import { functionOf } from './scenario.ts';
import { queueAway } from './seams.ts';

const always = 1_000_000_000;
/** The two pollers of this event source are not made more when a queue grows, so a message would seldom come again. */
const slow_rest_ms = 1_000;
const kill_every_ms = 200;
const events_not_taken = ['ingest-fails-fast', 'api-server-errors'];

/** Everything of a service that these callers ask for fails alike. */
export function failing(service: string, effect: Effect, more: Partial<Rule> & { callers?: string[] } = {}) {
  const { callers = ['ingest', 'deliver', 'recover'], ...rule } = more;
  return async ({ rig }: Day) => {
    await rig.arm(
      callers.map((caller) => ({
        ...{ caller: functionOf(rig, caller), service, operation: '*', point: 'before', times: always },
        ...{ effect, ...rule },
      })),
    );
    return undefined;
  };
}

function ledgerFailing(fault: string, alarm: string, effect: Effect, more: Partial<Rule> = {}): Scenario {
  const alarms = [alarm, ...events_not_taken];
  return { dependency: 'Ledger', fault, alarms, inject: failing('rds-data', effect, more) };
}

export const error = (name: string, status?: number): Effect => ({
  ...{ kind: 'error', error: name },
  ...(status && { status }),
});

/** What the event source asks of the queue; a message that comes again for the sixth time is a dead letter. */
function consumingFails(fault: string, operation: string, effect: Effect, point: Rule['point']): Scenario {
  return {
    ...{ dependency: 'SQS', fault, alarms: ['delivery-dead-letters'] },
    by_hand: 'deletes the dead letters; their events are delivered',
    async inject(day) {
      day.load.rest_ms = slow_rest_ms;
      await day.visibility('DeliveryQueue', 1);
      await failing('sqs', effect, { callers: ['event source'], operation, point })(day);
      return () => day.visibility('DeliveryQueue', visibility_s);
    },
    mended: ({ rig }) => rig.stack.delivered(), // the last dead letter is there
  };
}

const ledger: Scenario[] = [
  {
    ...{ dependency: 'Ledger', fault: 'SIGKILL of all its processes' },
    alarms: ['ledger-unavailable', ...events_not_taken],
    async inject(day) {
      await crashPostgres(day.postgres);
      return async () => {
        day.postgres = await restartPostgres(day.rig.stack);
      };
    },
  },
  ledgerFailing('unavailable', 'ledger-unavailable', error('ServiceUnavailableError', 503)),
  ledgerFailing('asleep', 'ledger-unavailable', error('DatabaseResumingException')),
  ledgerFailing('throttled', 'ledger-throttled', error('ThrottlingException')),
  ledgerFailing('too slow', 'ledger-timeout', error('StatementTimeoutException')),
  {
    ...{ dependency: 'Ledger', fault: 'commits, and its replies are lost', alarms: events_not_taken },
    inject: failing('rds-data', { kind: 'drop' }, { point: 'after' }),
  },
];

const secrets: Scenario = {
  ...{ dependency: 'Secrets Manager', fault: 'away at a cold start' },
  alarms: ['ledger-secret', ...events_not_taken],
  async inject({ rig }) {
    const ingest = functionOf(rig, 'ingest');
    const rule = { caller: ingest, operation: '*', point: 'before', times: always } as const;
    // The Data API reads the password of the role, and a job the secret of its callers.
    await rig.arm(
      [
        { ...rule, service: 'rds-data', effect: error('SecretsErrorException') },
        {
          ...{ ...rule, caller: functionOf(rig, 'recover'), service: 'secretsmanager' },
          effect: error('InternalServiceError', 500),
        },
      ],
      [{ caller: ingest, point: 'before', times: rig.stack.functions.instances(ingest) }],
    );
    return undefined;
  },
  look: async (day) => expect(await recoverByHand(day)).toBe(500),
  mended: async (day) => expect(await recoverByHand(day)).toBe(200),
};

const counters: Scenario[] = [
  ['throttled', error('ProvisionedThroughputExceededException')] as const,
  ['away', { kind: 'drop' }] as const,
].map(([fault, effect]) => ({
  ...{ dependency: 'DynamoDB', fault, alarms: ['rate-limit-fallback'] },
  inject: failing('dynamodb', effect, { callers: ['ingest'] }),
}));

const queues: Scenario[] = [
  {
    ...{ dependency: 'SQS', fault: 'away: takes and gives no message', alarms: ['publish-failures'] },
    async inject({ rig }) {
      const away = queueAway(functionOf(rig, 'ingest'), always);
      const receive = { caller: functionOf(rig, 'event source'), operation: 'ReceiveMessage' };
      await rig.arm([away, { ...away, ...receive }]);
      return undefined;
    },
    look: (day) => day.run('Recover'), // which delivers without a queue
  },
  consumingFails('messages are lost on their way to deliver', 'ReceiveMessage', { kind: 'drop' }, 'after'),
  consumingFails(
    'no message can be deleted: each comes again and again',
    'DeleteMessageBatch',
    error('AccessDenied', 403),
    'before',
  ),
  {
    ...{ dependency: 'SQS', fault: 'a poison message', alarms: ['delivery-dead-letters'] },
    by_hand: 'reads and deletes the message',
    async inject(day) {
      await day.visibility('DeliveryQueue', 1);
      const { client, url: QueueUrl } = day.rig.queue;
      await client.send(new SendMessageCommand({ QueueUrl, MessageBody: '{"batch_id": "garbage' }));
      return () => day.visibility('DeliveryQueue', visibility_s);
    },
  },
];

const functions: Scenario[] = [
  {
    ...{ dependency: 'deliver', fault: 'killed at each run, before and after its work' },
    alarms: ['deliver-errors'],
    async inject({ rig }) {
      const caller = functionOf(rig, 'deliver');
      const [before, after] = [
        { caller, point: 'before' as const, times: 5 },
        { caller, point: 'after' as const, times: always },
      ];
      await rig.arm([], [before, after]);
      return undefined;
    },
  },
  {
    ...{ dependency: 'ingest', fault: `a busy instance killed every ${kill_every_ms} ms` },
    alarms: ['ingest-errors', ...events_not_taken],
    async inject({ rig }) {
      const kill = () => void rig.stack.functions.terminate(functionOf(rig, 'ingest'));
      const timer = setInterval(kill, kill_every_ms);
      return () => clearInterval(timer);
    },
  },
];

const schedule: Scenario = {
  dependency: 'EventBridge Scheduler',
  fault: 'does not start recover, while the queue takes no message',
  alarms: ['recover-heartbeat', 'publish-failures'],
  async inject({ rig }) {
    await rig.arm([queueAway(functionOf(rig, 'ingest'), always)]);
    return undefined;
  },
};

export const servicesFailing: Scenario[] = [
  ...ledger,
  secrets,
  ...counters,
  ...queues,
  ...functions,
  schedule,
];

/** By its secret over HTTP, as a person would. */
async function recoverByHand({ rig: { stack } }: Day): Promise<number> {
  const headers = { authorization: `Bearer ${cronSecretOf(stack)}` };
  const answer = await fetch(`${stack.url}/api/cron/recover`, { method: 'POST', headers });
  await answer.arrayBuffer();
  return answer.status;
}
