// The delivery queue's consumer: one statement moves the outbox rows of a whole SQS batch to events.
import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { ledger } from '../shared/adapters/ledger.ts';
import { type DeliverEnvironment, database_variables, environment } from '../shared/config.ts';
import { deliver, readDelivery } from '../shared/delivery.ts';
import { logger, metrics, observed, reportBadRows } from './runtime.ts';

const env = environment<DeliverEnvironment>(...database_variables);
const database = ledger(env);

export const handler = observed(async (event: SQSEvent): Promise<SQSBatchResponse> => {
  const messages = event.Records.map((record) => ({
    id: record.messageId,
    delivery: readDelivery(record.body),
  }));
  const batches = messages.flatMap(({ delivery }) => (delivery ? [delivery.batch_id] : []));
  const failed = messages.filter(({ delivery }) => !delivery).map(({ id }) => ({ itemIdentifier: id }));
  if (failed.length > 0) logger.error('DELIVERY_MESSAGE_INVALID', { messages: failed });
  if (batches.length > 0) {
    const { moved, bad } = await deliver(database, batches);
    metrics.addMetric('billing_delivered_total', 'Count', Number(moved));
    reportBadRows(bad);
    logger.info('deliver', { batches: batches.length, moved: String(moved), bad: bad.length });
  }
  return { batchItemFailures: failed };
});
