// The Postgres types that the Data API returns: how each is named, which JDBC type it is, and which member carries it.
import { types } from 'pg';
import { refuse } from './errors.ts';

export type Kind = 'boolean' | 'long' | 'double' | 'decimal' | 'blob' | 'string' | 'zoned';
export type Type = { name: string; jdbc: number; kind: Kind; array?: boolean };

const FIRST_USER_OID = 16_384;
const JDBC_ARRAY = 2003;

const SCALARS: Record<number, Type> = {
  16: { name: 'bool', jdbc: -7, kind: 'boolean' },
  17: { name: 'bytea', jdbc: -2, kind: 'blob' },
  20: { name: 'int8', jdbc: -5, kind: 'long' },
  21: { name: 'int2', jdbc: 5, kind: 'long' },
  23: { name: 'int4', jdbc: 4, kind: 'long' },
  25: { name: 'text', jdbc: 12, kind: 'string' },
  26: { name: 'oid', jdbc: -5, kind: 'long' },
  114: { name: 'json', jdbc: 1111, kind: 'string' },
  700: { name: 'float4', jdbc: 7, kind: 'double' },
  701: { name: 'float8', jdbc: 8, kind: 'double' },
  1042: { name: 'bpchar', jdbc: 1, kind: 'string' },
  1043: { name: 'varchar', jdbc: 12, kind: 'string' },
  1082: { name: 'date', jdbc: 91, kind: 'string' },
  1083: { name: 'time', jdbc: 92, kind: 'string' },
  1114: { name: 'timestamp', jdbc: 93, kind: 'string' },
  1184: { name: 'timestamptz', jdbc: 93, kind: 'zoned' },
  1186: { name: 'interval', jdbc: 1111, kind: 'string' },
  1266: { name: 'timetz', jdbc: 92, kind: 'string' },
  1700: { name: 'numeric', jdbc: 2, kind: 'decimal' },
  2950: { name: 'uuid', jdbc: 1111, kind: 'string' },
  3802: { name: 'jsonb', jdbc: 1111, kind: 'string' },
};

const ARRAY_OF: Record<number, number> = {
  1000: 16,
  1005: 21,
  1007: 23,
  1009: 25,
  1014: 1042,
  1015: 1043,
  1016: 20,
  1021: 700,
  1022: 701,
  1115: 1114,
  1182: 1082,
  1185: 1184,
  1231: 1700,
  2951: 2950,
  3807: 3802,
};

/** Types of the application, enums above all, travel as their text; other built-in ones are refused as AWS does. */
const TEXT: Type = { name: 'varchar', jdbc: 12, kind: 'string' };

export function typeOf(oid: number): Type {
  const scalar = SCALARS[oid];
  if (scalar) return scalar;
  const element = SCALARS[ARRAY_OF[oid] ?? 0];
  if (element) return { name: `_${element.name}`, jdbc: JDBC_ARRAY, kind: element.kind, array: true };
  if (oid >= FIRST_USER_OID) return TEXT;
  throw refuse(
    'UnsupportedResultException',
    `The result contains the unsupported data type ${builtinName(oid)}.`,
  );
}

function builtinName(oid: number): string {
  const known = Object.entries(types.builtins).find(([, value]) => value === oid);
  return known?.[0] ?? `with the number ${oid}`;
}

/** The elements of a one-dimensional array in the text form of Postgres. */
export const splitArray = types.getTypeParser(1009 as number as 25, 'text') as unknown as (
  text: string,
) => unknown[];
