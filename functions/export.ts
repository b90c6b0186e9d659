// The export queue's consumer: builds a dispute export that is too long for one answer, as a stream into its bucket.
import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { ledger } from '../shared/adapters/ledger.ts';
import { s3 } from '../shared/adapters/s3.ts';
import { database_variables, type ExportEnvironment, environment } from '../shared/config.ts';
import { buildExport } from '../shared/dispute.ts';
import { logger, metrics, observed } from './runtime.ts';

/** A page of a large month may wait behind other work of the ledger. */
const request_timeout_ms = 20_000;

const env = environment<ExportEnvironment>(...database_variables, 'EXPORT_BUCKET', 'EVIDENCE_BUCKET');
const database = ledger(env, { request_timeout_ms });
const exports = s3(env.EXPORT_BUCKET);
const archive = s3(env.EVIDENCE_BUCKET);

export const handler = observed(async ({ Records }: SQSEvent): Promise<SQSBatchResponse> => {
  const batchItemFailures: SQSBatchResponse['batchItemFailures'] = [];
  for (const { messageId, body } of Records) {
    const id = /^\{"export_id":"(\d{1,18})"\}$/.exec(body)?.[1];
    try {
      if (id === undefined) throw new Error('The message names no export.');
      const built = await buildExport(database, exports, archive, id);
      if (built) logger.info('BILLING_DISPUTE_EXPORT_BUILT', { ...built });
    } catch (error) {
      metrics.addMetric('dispute_export_failed_total', 'Count', 1);
      logger.error('DISPUTE_EXPORT_FAIL', { export_id: id, cause: error as Error });
      batchItemFailures.push({ itemIdentifier: messageId });
    }
  }
  return { batchItemFailures };
});
