// The alarms on what the functions say of the business: events taken, money that agrees, withdrawals and webhooks that go through.
import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type { AlarmProps, Alarms } from './alarm.ts';
import type { AnyFunction } from './function.ts';

const { BREACHING, IGNORE, NOT_BREACHING } = cloudwatch.TreatMissingData;
/** The watchtower runs every 15 minutes: a period that always holds a run of it. */
const GAUGE_MINUTES = 20;
const EACH_MINUTES = 5;

/**
 * How fast the failures that are accepted in a month are used up: fast, and a page is worth it within minutes; slowly, and
 * within an hour. Each is asked of a long window and of a short one, which ends the alarm soon after the failures end.
 * @returns the alarm of the shortest window.
 */
export function watchIngest(alarms: Alarms, ingest: AnyFunction): cloudwatch.Alarm {
  const { failedShare, fastBurn, slowBurn, failuresMin } = alarms.config.alarms.ingest;
  const over = (id: string, minutes: number, burn: number) =>
    alarms.add(id, {
      ...{ severity: 'ticket', heading: 'Ingest fails', missing: NOT_BREACHING },
      says: `Events are not taken: ${burn} times the accepted share of failures in ${minutes} minutes.`,
      metric: new cloudwatch.MathExpression({
        // What the function answered 5xx, what it died of, and what it was never given.
        expression: `IF(refused + died + throttled >= ${failuresMin}, (refused + died + throttled) / (calls + throttled), 0)`,
        usingMetrics: {
          refused: alarms.metric({
            ...{ service: 'ingest', name: 'ingest_failed_total', statistic: 'Sum', minutes },
          }),
          died: ingest.lambda.metricErrors({ statistic: 'Sum' }),
          throttled: ingest.lambda.metricThrottles({ statistic: 'Sum' }),
          calls: ingest.lambda.metricInvocations({ statistic: 'Sum' }),
        },
        period: Duration.minutes(minutes),
        label: 'share',
      }),
      ...{ above: burn * failedShare, of: [1, 1] },
    });
  const page = { severity: 'page', heading: 'Ingest fails' } as const;
  const now = over('IngestFailsNow', 5, fastBurn);
  const fast = [over('IngestFailsHour', 60, fastBurn), now];
  const slow = [over('IngestFailsSixHours', 360, slowBurn), over('IngestFailsHalfHour', 30, slowBurn)];
  alarms.addAll('IngestFailsSlowly', { ...page, says: 'Events are not taken, slowly but for hours.' }, slow);
  alarms.addAll('IngestFailsFast', { ...page, says: 'Events are not taken.' }, fast);
  return now;
}

/** What the watchtower asks the ledger. Where it is silent the last word holds: its own heartbeat is what alarms. */
export function watchBusiness(alarms: Alarms): void {
  const { outboxAgeSeconds, openFindings, rateLimitFallbacks } = alarms.config.alarms;
  const gauge = (
    id: string,
    name: string,
    above: number,
    props: Pick<AlarmProps, 'severity' | 'says' | 'heading'> & Partial<Pick<AlarmProps, 'missing'>>,
  ) => {
    const metric = alarms.metric({
      ...{ service: 'watchtower', name, statistic: 'Maximum', minutes: GAUGE_MINUTES },
    });
    alarms.add(id, { missing: IGNORE, of: [1, 2], ...props, metric, above });
  };
  gauge('OutboxAge', 'outbox_age_seconds', outboxAgeSeconds, {
    ...{ severity: 'page', heading: 'recover', missing: BREACHING },
    says: `Events that were taken wait for more than ${outboxAgeSeconds} s to be delivered, or nobody looks.`,
  });
  gauge('MoneyDrift', 'money_drift', 0, {
    ...{ severity: 'page', heading: 'Money does not agree' },
    says: 'Wallets, withdrawals, providers and the ledger do not agree.',
  });
  gauge('DeliveryDrift', 'delivery_drift', 0, {
    ...{ severity: 'page', heading: 'reconcile' },
    says: 'Events are billed without delivery, or delivered without a bill.',
  });
  gauge('LedgerDrift', 'ledger_drift', 0, {
    ...{ severity: 'ticket', heading: 'reconcile' },
    says: 'Usage rows or counters had left the ledger by more than 1 %; they were corrected.',
  });
  gauge('UnfrozenMonths', 'unfrozen_months', 0, {
    ...{ severity: 'page', heading: 'freeze' },
    says: 'A month that is over has no invoice six hours later.',
  });
  gauge('BrokenSeals', 'broken_seals', 0, {
    ...{ severity: 'page', heading: 'A seal is broken' },
    says: 'The ledger of a frozen month is not as it was sealed.',
  });
  gauge('OpenFindings', 'open_findings', openFindings, {
    ...{ severity: 'ticket', heading: 'Money does not agree' },
    says: `More than ${openFindings} findings wait for somebody.`,
  });
  gauge('WatchtowerCritical', 'watchtower_level', 2, {
    ...{ severity: 'page', heading: 'watchtower' },
    says: 'A check of the watchtower is critical.',
  });
  gauge('WatchtowerAlarm', 'watchtower_level', 1, {
    ...{ severity: 'ticket', heading: 'watchtower' },
    says: 'A check of the watchtower is at alarm.',
  });
  alarms.add('PublishFailures', {
    ...{ severity: 'ticket', heading: 'recover', missing: NOT_BREACHING },
    says: 'The delivery queue refuses messages; events wait in the outbox.',
    metric: alarms.metric({
      ...{ service: 'ingest', name: 'ingest_publish_failures_total', statistic: 'Sum', minutes: 5 },
    }),
    ...{ above: 0, of: [1, 3] },
  });
  alarms.add('RateLimitFallback', {
    ...{ severity: 'ticket', heading: 'The counters are away', missing: NOT_BREACHING },
    says: 'The table of the rate limit does not answer; each instance of ingest allows a fifth by itself.',
    metric: alarms.metric({
      ...{ service: 'ingest', name: 'rate_limit_fallback_total', statistic: 'Sum', minutes: EACH_MINUTES },
    }),
    ...{ above: rateLimitFallbacks, of: [2, 3] },
  });
}

/** The triggers at which docs/rollout.md takes a step back: each is 1 while its condition holds. */
export function watchRollback(alarms: Alarms): void {
  const { insufficientFunds, signatureShare, mismatch, countMin } = alarms.config.alarms.rollback;
  const page = { severity: 'page', of: [1, 1] } as const;
  const sum = (service: string, name: string, minutes: number) =>
    alarms.metric({ service, name, statistic: 'Sum', minutes });
  const gauge = (name: string) =>
    alarms.metric({ service: 'watchtower', name, statistic: 'Maximum', minutes: GAUGE_MINUTES });
  const { share, timesBaseline } = insufficientFunds;
  alarms.add('InsufficientFunds', {
    ...{ ...page, heading: 'Withdrawals are refused', missing: NOT_BREACHING, above: 0 },
    says: 'T1: far more withdrawals than usual are refused for want of funds.',
    metric: new cloudwatch.MathExpression({
      // A quarter of an hour against the mean of an hour.
      expression: `IF(refused >= ${countMin} AND refused > ${share} * asked AND 4 * refused > ${timesBaseline} * FILL(usual, REPEAT), 1, 0)`,
      usingMetrics: {
        refused: sum('money', 'insufficient_funds_total', 15),
        asked: sum('money', 'withdraw_requests_total', 15),
        usual: alarms.metric({
          ...{
            service: 'watchtower',
            name: 'insufficient_funds_hourly_mean',
            statistic: 'Maximum',
            minutes: 15,
          },
        }),
      },
      period: Duration.minutes(15),
      label: 'T1',
    }),
  });
  alarms.add('SignaturesRefused', {
    ...{ ...page, heading: 'Webhooks are refused', missing: NOT_BREACHING, above: 0 },
    says: `T2: more than ${signatureShare * 100} % of the webhooks have a wrong signature.`,
    metric: new cloudwatch.MathExpression({
      expression: `IF(refused >= ${countMin} AND refused > ${signatureShare} * received, 1, 0)`,
      usingMetrics: {
        refused: sum('webhook', 'webhook_signature_invalid_total', 5),
        received: sum('webhook', 'webhook_received_total', 5),
      },
      period: Duration.minutes(5),
      label: 'T2',
    }),
  });
  const t3 = { severity: 'page', heading: 'Balances do not match', missing: IGNORE, of: [1, 2] } as const;
  alarms.add('BalanceMismatches', {
    ...t3,
    says: `T3: at more than ${mismatch.share * 100} % of the withdrawals the legacy balance differs from the ledger.`,
    ...{ metric: gauge('balance_mismatch_percent'), above: mismatch.share * 100 },
  });
  alarms.add('BalanceMismatchLargest', {
    ...t3,
    says: `T3: a legacy balance differs from the ledger by more than ${mismatch.largestMinor} minor units.`,
    ...{ metric: gauge('balance_mismatch_largest_minor'), above: mismatch.largestMinor },
  });
}

/** By class, over all functions together: they share one ledger. */
export function watchLedgerFailures(alarms: Alarms): void {
  const { ledgerFailures } = alarms.config.alarms;
  const add = (
    failure: string,
    severity: AlarmProps['severity'],
    above: number,
    of: AlarmProps['of'],
    says: string,
  ) =>
    alarms.add(`Ledger${failure.charAt(0).toUpperCase()}${failure.slice(1)}`, {
      ...{ severity, says, heading: 'The ledger fails', missing: NOT_BREACHING, above, of },
      metric: alarms.metric({
        ...{ service: 'ledger', name: `ledger_${failure}_total`, statistic: 'Sum', minutes: EACH_MINUTES },
      }),
    });
  const { unavailable, throttled, timeout, contention } = ledgerFailures;
  add('unavailable', 'page', unavailable, [2, 3], 'The ledger cannot be reached.');
  add(
    'secret',
    'page',
    0,
    [1, 3],
    'The password of a database role cannot be read, or is not the right one.',
  );
  add('refused', 'page', 0, [1, 3], 'A function may not call the ledger: its access is set up wrongly.');
  add('unsupported', 'page', 0, [1, 3], 'A statement ran whose result could not be read.');
  add('statement', 'ticket', 0, [1, 3], 'The ledger answered with an error that nobody expected.');
  add('throttled', 'ticket', throttled, [2, 3], 'Calls of the ledger are throttled.');
  add('timeout', 'ticket', timeout, [2, 3], 'Statements of the ledger take too long.');
  add('contention', 'ticket', contention, [2, 3], 'Calls of the ledger wait too long for each other.');
}
