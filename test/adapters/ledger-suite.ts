// What every way to the ledger must do alike: types, names, errors, limits of time, lost connections; run once for each adapter.
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LedgerOptions } from '../../shared/adapters/ledger.ts';
import type { Database, Parameter } from '../../shared/ports.ts';
import { openDatabase, type TestDatabase } from '../support/database.ts';

export const role = 'kernel_ingest';
export const password = 'of-the-suite';

const at_work = { interval: 10, timeout: 20_000 };

export interface Way {
  /** A new instance of the adapter, in the suite's role. */
  open(options?: LedgerOptions): Database;
  close(): Promise<void>;
}

const objects = [
  'create table kept (id text primary key, n bigint not null default 1)',
  'create table closed (id text)',
  `grant select, insert, update, delete on kept to ${role}`,
  `create function nothing(id text) returns void language sql as $$ insert into kept values (id) $$`,
  `create function numbers(n bigint) returns setof bigint language sql as $$ select generate_series(1, n) $$`,
  `create function twice(called text) returns bigint language plpgsql as $$ declare made bigint; begin
     insert into kept values (called) on conflict (id) do update set n = kept.n + 1 returning n into made;
     perform pg_sleep(0.5); return made; end $$`,
  `create function refuse(state text, said text) returns void language plpgsql as $$ begin
     raise exception using errcode = state, message = said; end $$`,
  `grant execute on function nothing, numbers, twice, refuse to ${role}`,
];

export function ledgerSuite(open: (database: TestDatabase) => Promise<Way>): void {
  let test_database: TestDatabase;
  let way: Way;
  let database: Database;
  beforeAll(async () => {
    test_database = await openDatabase();
    await test_database.superuser.query(`alter role ${role} password '${password}'`);
    for (const statement of objects) await test_database.superuser.query(statement);
    way = await open(test_database);
    database = way.open();
  });
  afterAll(async () => {
    await way?.close();
    await test_database?.close();
  });

  const value = async (expression: string, parameters?: Record<string, Parameter>) =>
    (await database.query<{ v: unknown }>(`select ${expression} as v`, parameters))[0]?.v;
  const kept = async (id: string) =>
    (await test_database.superuser.query('select n from kept where id = $1', [id])).rows[0]?.n;
  const cutAll = () =>
    test_database.superuser.query(
      'select pg_terminate_backend(pid) from pg_stat_activity where usename = $1 and datname = current_database()',
      [role],
    );

  /** Cuts the connection of the statement that names this, once it is at work, and sees it gone. */
  const cutAtWork = async (named: string) => {
    const pids = async (sql: string, ...values: unknown[]) =>
      (await test_database.superuser.query(sql, values)).rows.map(({ pid }) => pid);
    const working = `select pid from pg_stat_activity
      where usename = $1 and datname = current_database() and state = 'active' and query like $2`;
    let pid: number | undefined;
    await expect
      .poll(async () => ([pid] = await pids(working, role, `%twice%${named}%`)), at_work)
      .toHaveLength(1);
    await test_database.superuser.query('select pg_terminate_backend($1)', [pid]);
    const living = 'select pid from pg_stat_activity where pid = $1';
    await expect.poll(() => pids(living, pid), at_work).toEqual([]);
  };

  describe('results', () => {
    test.each<[string, unknown]>([
      ["'9223372036854775807'::bigint", '9223372036854775807'],
      ["'-9223372036854775808'::bigint", '-9223372036854775808'],
      ['1::int', '1'],
      ["'-32768'::smallint", '-32768'],
      ["'123456789012345678901234567890.000000001'::numeric", '123456789012345678901234567890.000000001'],
      ['1.50::numeric(10,2)', '1.50'],
      ["'NaN'::numeric", 'NaN'],
      ['0.1::float8', 0.1],
      ['1.5::float4', 1.5],
      ['true', true],
      ['1 = 2', false],
      ['null::bigint', null],
      ["timestamptz '2026-03-01 01:30:00.123456+02'", '2026-02-28 23:30:00.123456'],
      ["timestamptz '2026-01-01 00:00:00Z'", '2026-01-01 00:00:00'],
      ["timestamptz 'infinity'", 'infinity'],
      ["timestamp '2026-02-28 23:59:59.5'", '2026-02-28 23:59:59.5'],
      ["date '2026-02-28'", '2026-02-28'],
      ["time '23:59:59.25'", '23:59:59.25'],
      ["interval '1 day 2 hours'", '1 day 02:00:00'],
      ["'6f1b9a1c-6f0e-4f6c-9f52-3f8a1d0c2b3e'::uuid", '6f1b9a1c-6f0e-4f6c-9f52-3f8a1d0c2b3e'],
      [`'{"b": [1, "x"], "a": null}'::jsonb`, '{"a": null, "b": [1, "x"]}'],
      [`'{"b":1}'::json`, '{"b":1}'],
      ["'\\x00ff07'::bytea", Uint8Array.of(0, 255, 7)],
      ["array['a', 'b c', 'NULL', 'q\"']", ['a', 'b c', 'NULL', 'q"']],
      ['array[true, false]', [true, false]],
      ['array[1, 2]::bigint[]', ['1', '2']],
      ['array[0.5::float8]', [0.5]],
      ["'{}'::text[]", []],
      ["''::text", ''],
    ])('%s is %j', async (expression, expected) => {
      expect(await value(expression)).toEqual(expected);
    });

    test('are the same in a session of another time zone', async () => {
      const rows = await database.query(
        `select (timestamptz '2026-01-01 00:00:00.000001Z')::timestamptz at, set_config('timezone', 'Asia/Kathmandu', true) zone`,
      );
      expect(rows).toEqual([{ at: '2026-01-01 00:00:00.000001', zone: 'Asia/Kathmandu' }]);
    });

    test('have a row for each row, in order, and none where there is none', async () => {
      expect(await database.query('select n from numbers(:n::bigint) n', { n: 3n })).toEqual([
        { n: '1' },
        { n: '2' },
        { n: '3' },
      ]);
      expect(await database.query('select n from numbers(0) n')).toEqual([]);
      expect(await database.query(`insert into kept (id) values ('plain')`)).toEqual([]);
      expect(await database.query(`delete from kept where id = 'plain' returning id, n`)).toEqual([
        { id: 'plain', n: '1' },
      ]);
    });

    test.each(["'x'::name", "'pg_class'::regclass", "row(1, 'a')", "inet '::1'"])(
      '%s needs a cast',
      async (expression) => {
        await expect(value(expression)).rejects.toMatchObject({ code: 'internal', status: 500 });
      },
    );

    test('of a function that returns nothing are had from it, not selected', async () => {
      expect(await database.query("select 1 as done from nothing('void')")).toEqual([{ done: '1' }]);
      expect(await kept('void')).toBe('1');
      // It has run, and says so as an error of ours, which nobody repeats.
      await expect(database.query("select nothing('selected')")).rejects.toMatchObject({ code: 'internal' });
      expect(await kept('selected')).toBe('1');
    });
  });

  describe('parameters', () => {
    test.each<[string, Parameter, string, unknown]>([
      ['a text with everything that quotes', `it's "ü" :x $1 \\ %`, ':p', `it's "ü" :x $1 \\ %`],
      ['the largest count', 2n ** 63n - 1n, ':p::bigint', '9223372036854775807'],
      ['a boolean', false, ':p', false],
      ['a null without a type', null, ':p::int + 1', null],
      ['a decimal', '0.10', ':p::numeric', '0.10'],
      ['a time', '2026-03-01T01:30:00.123456+02:00', ':p::timestamptz', '2026-02-28 23:30:00.123456'],
      [
        'JSON',
        '[{"a":1},{"a":2}]',
        '(select sum((x->>:k)::int) from jsonb_array_elements(:p::jsonb) x)',
        '3',
      ],
      ['a list', '{a,"b c"}', ':p::text[]', ['a', 'b c']],
    ])('%s', async (_what, p, expression, expected) => {
      expect(await value(expression, { p, k: 'a' })).toEqual(expected);
    });

    test('are text unless cast, as Postgres is told the type and infers none', async () => {
      const types = { n: 1n, s: 'x', b: true };
      expect(
        await database.query(
          'select pg_typeof(:n)::text n, pg_typeof(:s)::text s, pg_typeof(:b)::text b',
          types,
        ),
      ).toEqual([{ n: 'character varying', s: 'character varying', b: 'boolean' }]);
      await expect(database.query('insert into kept (id, n) values (:s, :n)', types)).rejects.toMatchObject({
        code: 'ledger_unavailable', // a fault of the statement, 42804
      });
    });

    test('may be named more than once, and what only looks like a name is none', async () => {
      const rows = await database.query(
        `select :a || :b || :a as ab, ':a' as quoted, "tabl:a".":a" as named, '{"x":1}'::jsonb ->> 'x' as cast, -- :a
           (array['p','q','r'])[2:3] as slice, (array['p','q'])[:n::int] as element, $x$:a$x$ as dollar,
           E'\\':a' as escaped, make_interval(days := :n::int)::text as days /* :a */
         from (select 'col' as ":a") as "tabl:a"`,
        { a: 'A', b: 'B', n: '1' },
      );
      expect(rows).toEqual([
        {
          ab: 'ABA',
          quoted: ':a',
          named: 'col',
          cast: '1',
          slice: ['q', 'r'],
          element: 'p',
          dollar: ':a',
          escaped: "':a",
          days: '1 day',
        },
      ]);
    });

    test('must be given', async () => {
      await expect(database.query('select :a, :b', { a: 'x' })).rejects.toMatchObject({
        name: 'KernelError',
      });
    });
  });

  describe('errors', () => {
    test.each([
      ['23505', 'any', 'conflict', 'Such a row exists already.'],
      ['RK010', 'The month 2026-01 is frozen.', 'month_frozen', 'The month 2026-01 is frozen.'],
      ['RK010', 'One line.\nAnd another', 'month_frozen', 'One line.'],
      ['22P02', 'any', 'invalid_request', 'A value is not of its type.'],
      [
        '55P03',
        'canceling statement due to lock timeout',
        'ledger_unavailable',
        'The ledger could not answer.',
      ],
      [
        '57014',
        'canceling statement due to statement timeout',
        'ledger_unavailable',
        'The ledger could not answer.',
      ],
      ['XX000', 'any', 'ledger_unavailable', 'The ledger could not answer.'],
    ])('%s (%j) is %s', async (state, said, code, sentence) => {
      const failed = database.query('select 1 from refuse(:state, :said)', { state, said });
      await expect(failed).rejects.toMatchObject({ name: 'KernelError', code, message: sentence });
    });

    test.each([
      ["insert into kept (id) values ('same'), ('same')", {}, 'conflict'],
      ['select :p::uuid', { p: 'no' }, 'invalid_request'],
      ['select :p::bigint', { p: '9223372036854775808' }, 'invalid_request'],
      ['select :p', { p: 'a\u0000b' }, 'text_invalid'],
      ['select * from closed', {}, 'forbidden'],
      ['select * from absent', {}, 'ledger_unavailable'],
      ['select 1; select 2', {}, 'ledger_unavailable'],
    ])('%s is refused', async (sql, parameters, code) => {
      await expect(database.query(sql, parameters)).rejects.toMatchObject({ name: 'KernelError', code });
      expect(await value('1')).toBe('1');
    });

    test('undo the whole statement', async () => {
      const failed = database.query(
        "with made as (insert into kept values ('undone') returning 1) select 1 from made, refuse('RK010', 'no')",
      );
      await expect(failed).rejects.toMatchObject({ code: 'month_frozen' });
      expect(await kept('undone')).toBeUndefined();
    });

    test('of two statements that wait for each other cost one of them a second attempt, and nobody an answer', async () => {
      await test_database.superuser.query("insert into kept values ('left', 0), ('right', 0)");
      const both = (first: string, second: string) =>
        way.open().query(
          `with a as (update kept set n = n + 1 where id = :first returning pg_sleep(0.3)),
                b as (select count(*) from a)
           select 1 from nothing_waits(:second, (select count from b))`,
          { first, second },
        );
      await test_database.superuser.query(
        `create or replace function nothing_waits(id text, seen bigint) returns void language sql as
           $$ update kept set n = n + 1 where kept.id = nothing_waits.id and seen > 0 $$;
         grant execute on function nothing_waits to ${role}`,
      );
      await Promise.all([both('left', 'right'), both('right', 'left')]);
      expect([await kept('left'), await kept('right')]).toEqual(['2', '2']);
    });
  });

  describe('time and connections', () => {
    test('a statement that takes longer than the caller waits fails, and the next one works', async () => {
      const hasty = way.open({ request_timeout_ms: 200, attempts: 1 });
      await expect(hasty.query("select 1 from twice('slow')")).rejects.toMatchObject({
        code: 'ledger_unavailable',
      });
      expect(await hasty.query('select 1 as v')).toEqual([{ v: '1' }]);
      await expect.poll(() => kept('slow')).toBe('1'); // nobody knew, but it was at work
    });

    test('a connection that was cut while nobody used it is not noticed', async () => {
      expect(await value('1')).toBe('1');
      await cutAll();
      await wait(50);
      expect(await value('2')).toBe('2');
    });

    test('a call whose connection is cut is made once more, and only once', async () => {
      const made = database.query<{ n: string }>("select twice('cut') n");
      await cutAtWork('cut');
      expect(await made).toEqual([{ n: '1' }]); // what was undone is not counted
      const hopeless = database.query("select twice('hopeless') n");
      hopeless.catch(() => undefined);
      await cutAtWork('hopeless');
      await cutAtWork('hopeless');
      await expect(hopeless).rejects.toMatchObject({ code: 'ledger_unavailable' });
      expect(await kept('hopeless')).toBeUndefined();
    });

    test('a call that may be made once only is not repeated', async () => {
      const once = way.open({ attempts: 1 });
      const cut = once.query("select twice('once') n");
      cut.catch(() => undefined);
      await cutAtWork('once');
      await expect(cut).rejects.toMatchObject({ code: 'ledger_unavailable' });
      expect(await kept('once')).toBeUndefined();
    });

    test('calls at once each get their own answer', async () => {
      const calls = Array.from({ length: 40 }, (_, n) =>
        database.query<{ v: string }>('select :n::int + 0 as v', { n: String(n) }),
      );
      const failing = database.query('select 1/0 as v').catch(({ code }) => code);
      expect((await Promise.all(calls)).map(([row]) => Number(row?.v))).toEqual(Array.from(calls.keys()));
      expect(await failing).toBe('ledger_unavailable');
    });
  });
}
