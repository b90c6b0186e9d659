// The local RDS Data API takes and returns every type as the one of AWS does.
import type { Field, SqlParameter } from '@aws-sdk/client-rds-data';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDataApi } from './open-data-api.ts';

let api: Awaited<ReturnType<typeof openDataApi>>;

beforeAll(async () => {
  api = await openDataApi();
});
afterAll(() => api?.close());

describe('parameters', () => {
  const parameters: [string, string, SqlParameter, Field][] = [
    ['a string', 'varchar', { value: { stringValue: "it's ü" } }, { stringValue: "it's ü" }],
    ['a long', 'int8', { value: { longValue: -(2 ** 53) + 1 } }, { longValue: -(2 ** 53) + 1 }],
    ['a double', 'float8', { value: { doubleValue: 0.1 } }, { doubleValue: 0.1 }],
    ['a boolean', 'bool', { value: { booleanValue: false } }, { booleanValue: false }],
    [
      'a blob',
      'bytea',
      { value: { blobValue: Uint8Array.of(0, 255, 7) } },
      { blobValue: Uint8Array.of(0, 255, 7) },
    ],
    [
      'a UUID',
      'uuid',
      hinted('UUID', '6f1b9a1c-6f0e-4f6c-9f52-3f8a1d0c2b3e'),
      {
        stringValue: '6f1b9a1c-6f0e-4f6c-9f52-3f8a1d0c2b3e',
      },
    ],
    [
      'a decimal',
      'numeric',
      hinted('DECIMAL', '123456789012345678.90'),
      { stringValue: '123456789012345678.90' },
    ],
    ['JSON', 'jsonb', hinted('JSON', '{"a":[1]}'), { stringValue: '{"a": [1]}' }],
    ['a date', 'date', hinted('DATE', '2026-02-28'), { stringValue: '2026-02-28' }],
    ['a time', 'time', hinted('TIME', '23:59:59.5'), { stringValue: '23:59:59.5' }],
    [
      'a timestamp',
      'timestamp',
      hinted('TIMESTAMP', '2026-02-28 23:59:59.123'),
      {
        stringValue: '2026-02-28 23:59:59.123',
      },
    ],
  ];
  test.each(parameters)('%s makes the round trip as %s', async (_name, type, parameter, field) => {
    const { records } = await api.execute(`SELECT :p, pg_typeof(:p)::text`, {
      parameters: [{ name: 'p', ...parameter }],
    });
    expect(records?.[0]?.[0]).toEqual(field);
    expect(records?.[0]?.[1]).toEqual({ stringValue: longName(type) });
  });

  test('a string is text: Postgres infers no type for it, as behind the real one', async () => {
    const parameters = [{ name: 'id', value: { stringValue: '6f1b9a1c-6f0e-4f6c-9f52-3f8a1d0c2b3e' } }];
    await expect(api.execute('INSERT INTO typed (id) VALUES (:id)', { parameters })).rejects.toMatchObject({
      name: 'DatabaseErrorException',
      message:
        'ERROR: column "id" is of type uuid but expression is of type character varying; SQLState: 42804',
    });
  });

  test('a null takes its type from the context, or from its hint', async () => {
    const value = { isNull: true };
    const parameters: SqlParameter[] = [
      { name: 'a', value },
      { name: 'b', value, typeHint: 'UUID' },
    ];
    const { records } = await api.execute('SELECT :a::int + 1, :b, pg_typeof(:b)::text', { parameters });
    expect(records).toEqual([[{ isNull: true }, { isNull: true }, { stringValue: 'uuid' }]]);
  });

  test('a large whole number survives as a string with a cast', async () => {
    const parameters = [{ name: 'n', value: { stringValue: '9007199254740993' } }];
    const resultSetOptions = { longReturnType: 'STRING' as const };
    const { records } = await api.execute('SELECT :n::int8, 1::int4', { parameters, resultSetOptions });
    expect(records).toEqual([[{ stringValue: '9007199254740993' }, { stringValue: '1' }]]);
  });

  test('arrays, unknown names and time zones in a TIMESTAMP are refused', async () => {
    const list = [{ name: 'p', value: { arrayValue: { longValues: [1] } } }];
    await expect(api.execute('SELECT :p', { parameters: list })).rejects.toThrow(
      'Array parameters are not supported',
    );
    await expect(api.execute('SELECT :p')).rejects.toThrow('Cannot find parameter: p');
    const zoned = [{ name: 'p', ...hinted('TIMESTAMP', '2026-02-28T23:59:59Z') }];
    await expect(api.execute('SELECT :p', { parameters: zoned })).rejects.toThrow(/type hint TIMESTAMP/);
  });
});

describe('results', () => {
  test.each<[string, Field]>([
    ["timestamptz '2026-03-01 01:30:00.123456+02'", { stringValue: '2026-02-28 23:30:00.123456' }],
    ['1.50::numeric(10,2)', { stringValue: '1.50' }],
    ['7::int2', { longValue: 7 }],
    ['1.5::float4', { doubleValue: 1.5 }],
    ["'calm'::mood", { stringValue: 'calm' }],
    ['\'{"b":1}\'::json', { stringValue: '{"b":1}' }],
    ["array['a','b c','NULL']", { arrayValue: { stringValues: ['a', 'b c', 'NULL'] } }],
    ['array[1,2]::int8[]', { arrayValue: { longValues: [1, 2] } }],
    ['array[true,false]', { arrayValue: { booleanValues: [true, false] } }],
    ['array[0.5::float8]', { arrayValue: { doubleValues: [0.5] } }],
  ])('%s', async (expression, field) => {
    expect((await api.execute(`SELECT ${expression}`)).records).toEqual([[field]]);
  });

  test('a timestamptz is in UTC whatever the session shows', async () => {
    const transactionId = await api.begin();
    await api.execute("SET LOCAL timezone = 'Asia/Kathmandu'", { transactionId });
    const { records } = await api.execute("SELECT timestamptz '2026-01-01 00:00:00.000001Z'", {
      transactionId,
    });
    expect(records).toEqual([[{ stringValue: '2026-01-01 00:00:00.000001' }]]);
    await api.rollback(transactionId);
  });

  test('decimals become numbers when asked for', async () => {
    const resultSetOptions = { decimalReturnType: 'DOUBLE_OR_LONG' as const };
    const { records } = await api.execute('SELECT 12::numeric, 1.5::numeric', { resultSetOptions });
    expect(records).toEqual([[{ longValue: 12 }, { doubleValue: 1.5 }]]);
  });

  test('metadata names the columns and their types', async () => {
    const { columnMetadata } = await api.execute('SELECT 1.5::numeric(10,2) AS amount, array[1] AS list', {
      includeResultMetadata: true,
    });
    expect(columnMetadata).toMatchObject([
      { name: 'amount', label: 'amount', typeName: 'numeric', precision: 10, scale: 2, type: 2 },
      { name: 'list', typeName: '_int4', type: 2003 },
    ]);
  });

  test('records can come as JSON', async () => {
    const { formattedRecords } = await api.execute("SELECT 1 AS a, null AS b, 'x' AS c, array[1] AS d", {
      formatRecordsAs: 'JSON',
    });
    expect(JSON.parse(formattedRecords ?? '')).toEqual([{ a: 1, b: null, c: 'x', d: [1] }]);
  });

  test.each(["'x'::name", "'pg_class'::regclass", 'array[[1,2],[3,4]]', "row(1,'a')", "inet '::1'"])(
    'the type of %s is not supported',
    async (expression) => {
      await expect(api.execute(`SELECT ${expression}`)).rejects.toMatchObject({
        name: 'UnsupportedResultException',
      });
    },
  );

  test('written rows are counted', async () => {
    const insert = 'INSERT INTO counted SELECT generate_series(100, 104)';
    expect((await api.execute(insert)).numberOfRecordsUpdated).toBe(5);
    const { records } = await api.execute('DELETE FROM counted WHERE id >= 100 RETURNING id');
    expect(records).toHaveLength(5);
  });
});

function hinted(typeHint: NonNullable<SqlParameter['typeHint']>, stringValue: string): SqlParameter {
  return { typeHint, value: { stringValue } };
}

function longName(type: string): string {
  const names: Record<string, string> = {
    varchar: 'character varying',
    int8: 'bigint',
    float8: 'double precision',
    bool: 'boolean',
    time: 'time without time zone',
    timestamp: 'timestamp without time zone',
  };
  return names[type] ?? type;
}
