// What the kernel refuses about money, said in the language of the person; the code and the request's id stay.
import { ApiError } from '../../api/client.ts';
import { en } from '../../words/en.money.ts';
import { formatDuration } from '../../words/format.ts';
import { type Key, t } from '../../words/money.ts';

/** The same error with words of ours, where there are any for its code. */
export function inWords(error: unknown): Error {
  if (!(error instanceof ApiError)) return error instanceof Error ? error : new Error(String(error));
  const key = `refused_${error.code}`;
  if (!(key in en)) return error;
  const wait = error.retry_after_s === undefined ? t('a_moment') : formatDuration(error.retry_after_s);
  const text = (t as (key: Key, values: { wait: string }) => string)(key as Key, { wait });
  return new ApiError(error.status, error.code, text, error.request_id, error.retry_after_s);
}

/** `await worded(act.run(…))`: a refusal is thrown in words. */
export function worded<Value>(answer: Promise<Value>): Promise<Value> {
  return answer.catch((error: unknown) => {
    throw inWords(error);
  });
}
