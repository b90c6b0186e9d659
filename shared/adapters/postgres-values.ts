// What Postgres sends as text, read as the Data API returns it: exact numbers and times as strings, times in UTC without a zone.
import pg from 'pg';
import { KernelError } from '../errors.ts';

type Read = (text: string) => unknown;
const same: Read = (text) => text;
const truth: Read = (text) => text === 't';
const bytes: Read = (text) => Uint8Array.from(Buffer.from(text.slice(2), 'hex'));

/** By the number of the type. Enums and other types of our own, with higher numbers, travel as their text. */
const scalars: Record<number, Read> = {
  16: truth, // bool
  17: bytes, // bytea
  20: same, // int8
  21: same, // int2
  23: same, // int4
  25: same, // text
  26: same, // oid
  114: same, // json
  700: Number, // float4
  701: Number, // float8
  1042: same, // bpchar
  1043: same, // varchar
  1082: same, // date
  1083: same, // time
  1114: same, // timestamp
  1184: toUtc, // timestamptz
  1186: same, // interval
  1266: same, // timetz
  1700: same, // numeric
  2950: same, // uuid
  3802: same, // jsonb
};
const elements: Record<number, number> = {
  1000: 16,
  1005: 21,
  1007: 23,
  1009: 25,
  1015: 1043,
  1016: 20,
  1022: 701,
};
const own_types_from = 16_384;
const splitArray = pg.types.getTypeParser(1009 as number as 25, 'text') as unknown as (
  text: string,
) => unknown[];

export interface Answered {
  fields: { name: string; dataTypeID: number }[];
  rows: (string | null)[][];
}

/** @throws KernelError `internal` for a type that the Data API does not return either; the statement has run. */
export function toRows<Row>({ fields, rows }: Answered): Row[] {
  const readers = fields.map(({ dataTypeID }) => reader(dataTypeID));
  return rows.map(
    (row) =>
      Object.fromEntries(
        row.map((text, i) => [fields[i]?.name ?? '', text === null ? null : readers[i]?.(text)]),
      ) as Row,
  );
}

function reader(type: number): Read {
  const scalar = scalars[type];
  if (scalar) return scalar;
  const element = scalars[elements[type] ?? 0];
  if (element) return (text) => splitArray(text).map((one) => readElement(one, element));
  if (type >= own_types_from) return same;
  throw new KernelError('internal', `The ledger answered with the type ${type}, which needs a cast.`);
}

function readElement(one: unknown, read: Read): unknown {
  if (one === null) return null;
  if (typeof one !== 'string')
    throw new KernelError('internal', 'The ledger answered with an array of arrays.');
  return read(one);
}

/** With the microseconds that a JavaScript date would lose. */
function toUtc(text: string): string {
  const [, time = text, fraction = '', sign = '+', hours = '00', minutes = '00'] =
    /^(.*?)(\.\d+)?([+-])(\d\d)(?::?(\d\d))?$/.exec(text) ?? [];
  const ahead_minutes = (Number(hours) * 60 + Number(minutes)) * (sign === '-' ? -1 : 1);
  if (ahead_minutes === 0) return time + fraction;
  const utc = new Date(Date.parse(`${time.replace(' ', 'T')}Z`) - ahead_minutes * 60_000);
  return utc.toISOString().slice(0, 19).replace('T', ' ') + fraction;
}
