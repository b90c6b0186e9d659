// The answer of POST /api/sync: from the outcome of each event to status, headers and body.
import type { KernelError } from './errors.ts';
import type { Decision, Outcome } from './usage.ts';

/** What became of one event of the body, in its order. */
export type EventResult =
  | { id: string | undefined; outcome: Outcome; ingest_id: string | null }
  | { id: string | undefined; outcome: 'invalid'; error: KernelError };

export interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Record<string, unknown>;
}

const status_words: Record<Outcome | 'invalid', string> = {
  accepted: 'queued',
  overage: 'queued',
  duplicate: 'duplicate',
  conflict: 'conflict',
  rejected_quota: 'rejected_quota',
  invalid: 'invalid',
};
const degraded_headers = {
  'x-opsmantik-degraded': 'qstash_publish_failed, queue_publish_failed',
  'x-opsmantik-fallback': 'true',
};

/**
 * Shapes the answer of a body whose events were decided.
 * @param published false when the queue did not take the batch: the outbox still holds it.
 */
export function answer(
  results: EventResult[],
  decision: Decision | undefined,
  published: boolean,
  form: 'single' | 'batch',
  requestId: string,
): Answer {
  const { status, body } = overall(results, published, requestId);
  return {
    status,
    headers: {
      ...quotaHeaders(results, decision),
      ...(status === 200 && { 'x-opsmantik-dedup': all(results, 'duplicate') ? '1' : '0' }),
      ...(!published && degraded_headers),
    },
    body:
      form === 'single' ? body : { ...body, results: results.map((result) => resultBody(result, decision)) },
  };
}

function overall(
  results: EventResult[],
  published: boolean,
  request_id: string,
): { status: number; body: Record<string, unknown> } {
  const [first] = results;
  if (all(results, 'invalid') && first?.outcome === 'invalid') {
    const { message, code, status } = first.error;
    return { status, body: { ok: false, error: message, code, request_id } };
  }
  if (all(results, 'rejected_quota')) {
    const error = 'The monthly quota is used up.';
    return {
      status: 429,
      body: { ok: false, status: 'rejected_quota', error, code: 'rejected_quota', request_id },
    };
  }
  if (all(results, 'conflict')) {
    const error = 'This event id came before with another payload.';
    return { status: 409, body: { ok: false, status: 'conflict', error, code: 'conflict', request_id } };
  }
  const admitted = results.find((result) => result.outcome === 'accepted' || result.outcome === 'overage');
  const words = new Set(results.map(({ outcome }) => status_words[outcome]));
  const word = words.size > 1 ? 'mixed' : [...words][0];
  const status = published ? word : 'degraded';
  return {
    status: 200,
    body: {
      ok: true,
      status,
      ...(admitted && 'ingest_id' in admitted && { ingest_id: admitted.ingest_id }),
      request_id,
    },
  };
}

function quotaHeaders(results: EventResult[], decision: Decision | undefined): Record<string, string> {
  if (!decision) return {};
  const unmetered = all(results, 'duplicate') || all(results, 'conflict');
  const rejected = results.some(({ outcome }) => outcome === 'rejected_quota');
  const overage = results.some(({ outcome }) => outcome === 'overage');
  return {
    ...(!unmetered && { 'x-opsmantik-quota-remaining': String(decision.remaining) }),
    ...(overage && { 'x-opsmantik-overage': 'true' }),
    ...(rejected && { 'x-opsmantik-quota-exceeded': '1' }),
    ...(all(results, 'rejected_quota') && { 'retry-after': String(decision.retry_after_s) }),
  };
}

function resultBody(result: EventResult, decision: Decision | undefined): Record<string, unknown> {
  const id = result.id === undefined ? {} : { id: result.id };
  if (result.outcome === 'invalid') {
    return { ...id, status: 'invalid', code: result.error.code, error: result.error.message };
  }
  const { outcome, ingest_id } = result;
  return {
    ...id,
    status: outcome === 'accepted' ? 'queued' : outcome,
    ...(ingest_id !== null && { ingest_id }),
    ...(outcome === 'rejected_quota' && { retry_after: decision?.retry_after_s }),
  };
}

function all(results: EventResult[], outcome: EventResult['outcome']): boolean {
  return results.every((result) => result.outcome === outcome);
}
