// What is shown in the place of data: nothing yet, nothing matches, could not load; and while it loads.
import type { ReactNode } from 'react';
import { ApiError } from '../api/client.ts';
import { NetworkError } from '../api/connection.ts';
import type { Read } from '../api/query.ts';
import { t } from '../words/words.ts';

/** Nothing yet: say what will make the first one appear. */
export function Nothing({ children }: { children?: ReactNode }) {
  return <div className="state">{children ?? t('empty_nothing')}</div>;
}

/** Nothing matches the filter. */
export function NoMatch({ clear }: { clear?: (() => void) | undefined }) {
  return (
    <div className="state">
      {t('empty_no_match')}{' '}
      {clear && (
        <button type="button" onClick={clear}>
          {t('clear_filter')}
        </button>
      )}
    </div>
  );
}

/** Could not load, with the request's id and another try. `old` is shown still: the message then says so. */
export function Failed({
  error,
  retry,
  old,
}: {
  error: Error;
  retry?: (() => void) | undefined;
  old?: boolean;
}) {
  const text = sentence(error);
  return (
    <div className="state state-failed" role="alert">
      <p>{old ? t('could_not_refresh', { error: text }) : t('could_not_load', { error: text })}</p>
      <RequestId of={error} />
      {retry && (
        <button type="button" onClick={retry}>
          {t('try_again')}
        </button>
      )}
    </div>
  );
}

export function RequestId({ of: error }: { of: Error }) {
  if (!(error instanceof ApiError) || !error.request_id) return null;
  return (
    <p className="muted">
      <code>{error.code}</code> · {t('request_id', { id: error.request_id })}
    </p>
  );
}

export function Loading() {
  return (
    <div className="state" role="status">
      {t('loading')}
    </div>
  );
}

/** Shows a read: loading, failed, or its answer, which stays when a later call fails. */
export function Show<Value>({
  read,
  children,
}: {
  read: Read<Value>;
  children: (answer: Value) => ReactNode;
}) {
  const { answer, error, loading, retry } = read;
  return (
    <>
      {error && <Failed error={error} retry={retry} old={answer !== undefined} />}
      {answer === undefined ? loading && <Loading /> : children(answer)}
    </>
  );
}

/** The sentence of an error, for a person. */
export function sentence(error: Error): string {
  return error instanceof NetworkError ? t('no_connection') : error.message;
}
