// Reads of the contract for pages: one answer, or the pages of a list; what was known stays on screen when a later call fails.
import { keepPreviousData, QueryClient, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useRef } from 'react';
import { useSearchParams } from 'wouter';
import { type Answer, ApiError, type Call, call, type Name, type Reads } from './client.ts';
import { NetworkError } from './connection.ts';

const live_every_ms = 15_000;
const retries_max = 3;
const rows_exported_max = 10_000;

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      networkMode: 'always', // without a connection it fails and says so, instead of waiting in silence
      staleTime: 5_000,
      retry: (failures, error) => failures < retries_max && mayRetry(error),
      retryDelay: (failures, error) =>
        retryAfter(error) ?? Math.min(1000 * 2 ** failures, 8_000) * Math.random(),
    },
    mutations: { networkMode: 'always', retry: false }, // a person sees the refusal and decides; the key makes it safe
  },
});

export interface Read<Value> {
  answer: Value | undefined;
  /** When the answer came. */
  as_of_ms: number | undefined;
  loading: boolean;
  /** Of the last call; `answer` may still hold what was known before. */
  error: Error | null;
  retry: () => void;
}
interface ReadOptions {
  /** Asks again every 15 s while the page is seen. */
  live?: boolean;
  enabled?: boolean;
}

/** `const usage = useRead('GET /api/sites/{ref}/usage', { path: { ref } }, { live: true })`. */
export function useRead<Op extends Reads>(
  operation: Op,
  call_: Call<Op>,
  options: ReadOptions = {},
): Read<Answer<Op>> {
  const query = useQuery({
    queryKey: [operation, call_],
    queryFn: () => ask(operation, call_),
    enabled: options.enabled ?? true,
    ...(options.live && { refetchInterval: live_every_ms }),
  });
  return {
    answer: query.data,
    as_of_ms: query.dataUpdatedAt || undefined,
    loading: query.isLoading,
    error: query.error,
    retry: () => void query.refetch(),
  };
}

/** Rows for a DataTable. */
export interface List<Row> extends Omit<Read<unknown>, 'answer'> {
  /** Undefined until the first answer. */
  rows: readonly Row[] | undefined;
  total?: number | undefined;
  /** To the next page of older rows, the page before and the first page; undefined where there is none. */
  older?: (() => void) | undefined;
  newer?: (() => void) | undefined;
  newest?: (() => void) | undefined;
  /** Every row of the filter, at most 10,000, for the CSV. */
  all: () => Promise<readonly Row[]>;
}
interface ListOptions<Op extends Reads, Row> extends ReadOptions {
  rows: (answer: Answer<Op>) => readonly Row[];
  /** The cursor of the next page; `next_cursor` of the answer unless said otherwise. */
  next?: (answer: Answer<Op>) => string | null | undefined;
  /** The query's name of the cursor: `cursor` unless said otherwise, `offset` or `page` for lists by those. */
  cursor?: 'cursor' | 'offset' | 'page';
  total?: (answer: Answer<Op>) => number;
}

/** Pages of a list; where the list stands is `?cursor=` of the page's URL. */
export function useList<Op extends Reads, Row>(
  operation: Op,
  call_: Call<Op>,
  options: ListOptions<Op, Row>,
): List<Row> {
  const { rows, next = nextCursor, cursor: name = 'cursor', total } = options;
  const [search, setSearch] = useSearchParams();
  const before = useRef<(string | undefined)[]>([]);
  const at = search.get('cursor') ?? undefined;
  const paged = (cursor: string | undefined) =>
    ({ ...call_, query: { ...(call_ as { query?: object }).query, [name]: cursor } }) as unknown as Call<Op>;
  const query = useQuery({
    queryKey: [operation, paged(at)],
    queryFn: () => ask(operation, paged(at)),
    enabled: options.enabled ?? true,
    placeholderData: keepPreviousData,
    ...(options.live && { refetchInterval: live_every_ms }),
  });
  const go = (cursor: string | undefined) =>
    setSearch((old) => {
      const changed = new URLSearchParams(old);
      if (cursor === undefined) changed.delete('cursor');
      else changed.set('cursor', cursor);
      return changed;
    });
  const following = query.data === undefined ? undefined : next(query.data);
  if (at === undefined) before.current = [];
  return {
    rows: query.data === undefined ? undefined : rows(query.data),
    total: query.data === undefined ? undefined : total?.(query.data),
    as_of_ms: query.dataUpdatedAt || undefined,
    loading: query.isLoading || query.isPlaceholderData,
    error: query.error,
    retry: () => void query.refetch(),
    ...(following && {
      older: () => {
        before.current.push(at);
        go(following);
      },
    }),
    ...(before.current.length > 0 && { newer: () => go(before.current.pop()) }),
    ...(at !== undefined && { newest: () => go(undefined) }),
    all: async () => {
      const found: Row[] = [];
      let cursor: string | undefined;
      do {
        const answer = await ask(operation, paged(cursor));
        found.push(...rows(answer));
        cursor = next(answer) ?? undefined;
      } while (cursor && found.length < rows_exported_max);
      return found;
    },
  };
}

/** An answer that holds all its rows, for a DataTable. */
export function rowsOf<Value, Row>(read: Read<Value>, rows: (answer: Value) => readonly Row[]): List<Row> {
  const found = read.answer === undefined ? undefined : rows(read.answer);
  return { ...read, rows: found, all: async () => found ?? [] };
}

export interface Act<Op extends Name> {
  /** @throws ApiError, NetworkError */
  run: (call: Call<Op>) => Promise<Answer<Op>>;
  running: boolean;
  error: Error | null;
  answer: Answer<Op> | undefined;
}

/** A call that changes something; every read is then asked again. */
export function useAct<Op extends Name>(operation: Op): Act<Op> {
  const client = useQueryClient();
  const mutation = useMutation({
    mutationFn: (call_: Call<Op>) => ask(operation, call_),
    onSettled: () => client.invalidateQueries(), // after a refusal too: it may say that somebody else was first
  });
  return {
    run: mutation.mutateAsync,
    running: mutation.isPending,
    error: mutation.error,
    answer: mutation.data,
  };
}

function ask<Op extends Name>(operation: Op, call_: Call<Op>): Promise<Answer<Op>> {
  return (call as (operation: Op, call: Call<Op>) => Promise<Answer<Op>>)(operation, call_);
}

function nextCursor(answer: unknown): string | null | undefined {
  return (answer as { next_cursor?: string | null }).next_cursor;
}

function mayRetry(error: Error): boolean {
  if (error instanceof NetworkError) return true;
  return error instanceof ApiError && (error.status === 429 || error.status >= 500);
}

function retryAfter(error: Error): number | undefined {
  return error instanceof ApiError && error.retry_after_s !== undefined
    ? error.retry_after_s * 1000
    : undefined;
}
