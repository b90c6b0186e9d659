// Shapes what Postgres returned as the Data API does: one typed member a value, within the limits of a reply.
import type { FieldDef, QueryArrayResult } from 'pg';
import { refuse } from './errors.ts';
import { splitArray, type Type, typeOf } from './types.ts';

export type ResultOptions = {
  includeResultMetadata?: boolean;
  formatRecordsAs?: 'JSON' | 'NONE';
  resultSetOptions?: { decimalReturnType?: 'STRING' | 'DOUBLE_OR_LONG'; longReturnType?: 'STRING' | 'LONG' };
};
type Field = Record<string, unknown>;
type Row = (string | null)[];

const ROW_BYTES_MAX = 64 * 1024;
const WRITES = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE', 'COPY']);

export function shape(result: QueryArrayResult, options: ResultOptions): Record<string, unknown> {
  const { fields, rows, command, rowCount } = result;
  if (fields.length === 0) {
    return { generatedFields: [], numberOfRecordsUpdated: WRITES.has(command) ? (rowCount ?? 0) : 0 };
  }
  const types = fields.map((field) => typeOf(field.dataTypeID));
  for (const row of rows as Row[]) checkSize(row);
  const convert = types.map((type) => converter(type, options));
  const records = (rows as Row[]).map((row) =>
    row.map((value, column) => (value === null ? { isNull: true } : convert[column]?.(value))),
  );
  // A statement with RETURNING counts as a query: its rows are in the records, as many as were written.
  if (options.formatRecordsAs === 'JSON') {
    return { numberOfRecordsUpdated: 0, formattedRecords: formatted(fields, records as Field[][]) };
  }
  const reply: Record<string, unknown> = { numberOfRecordsUpdated: 0, records };
  if (options.includeResultMetadata)
    reply.columnMetadata = fields.map((field, at) => metadata(field, types[at]));
  return reply;
}

function checkSize(row: Row): void {
  let bytes = 0;
  for (const value of row) if (value !== null) bytes += Buffer.byteLength(value);
  if (bytes > ROW_BYTES_MAX) throw refuse('BadRequestException', 'Packet for query is too large');
}

function converter(type: Type, options: ResultOptions): (value: string) => Field {
  if (type.array) return arrayConverter(type);
  switch (type.kind) {
    case 'boolean':
      return (value) => ({ booleanValue: value === 't' });
    case 'long':
      if (options.resultSetOptions?.longReturnType === 'STRING') return (value) => ({ stringValue: value });
      return (value) => ({ longValue: Number(value) });
    case 'double':
      return (value) => ({ doubleValue: double(value) });
    case 'decimal':
      if (options.resultSetOptions?.decimalReturnType === 'DOUBLE_OR_LONG') return doubleOrLong;
      return (value) => ({ stringValue: value });
    case 'blob':
      return (value) => ({ blobValue: Buffer.from(value.slice(2), 'hex').toString('base64') });
    case 'zoned':
      return (value) => ({ stringValue: toUtc(value) });
    default:
      return (value) => ({ stringValue: value });
  }
}

const MEMBERS: Partial<Record<Type['kind'], [string, (text: string) => unknown]>> = {
  boolean: ['booleanValues', (text) => text === 't'],
  long: ['longValues', Number],
  double: ['doubleValues', double],
  zoned: ['stringValues', toUtc],
};

function arrayConverter(type: Type): (value: string) => Field {
  const [member, convert] = MEMBERS[type.kind] ?? ['stringValues', (text: string) => text];
  return (value) => {
    const elements = splitArray(value);
    if (elements.some(Array.isArray)) {
      throw refuse('UnsupportedResultException', 'The result contains a multidimensional array.');
    }
    return {
      arrayValue: { [member]: elements.map((text) => (text === null ? null : convert(text as string))) },
    };
  };
}

/** JSON has no word for these three; the SDK reads them from a string. */
function double(value: string): number | string {
  const number = Number(value);
  return Number.isFinite(number) ? number : value;
}

function doubleOrLong(value: string): Field {
  const number = Number(value);
  return /^-?\d+$/.test(value) && Number.isSafeInteger(number)
    ? { longValue: number }
    : { doubleValue: double(value) };
}

const OFFSET = /([+-])(\d\d)(?::?(\d\d))?$/;

/** Without an offset, in UTC, with the microseconds that a JavaScript date would lose. */
function toUtc(value: string): string {
  if (value.endsWith('+00')) return value.slice(0, -3);
  const offset = OFFSET.exec(value);
  if (!offset) return value;
  const minutes = (Number(offset[2]) * 60 + Number(offset[3] ?? 0)) * (offset[1] === '-' ? -1 : 1);
  const [seconds = '', fraction] = value.slice(0, offset.index).split('.');
  const utc = new Date(Date.parse(`${seconds.replace(' ', 'T')}Z`) - minutes * 60_000);
  const text = utc.toISOString().slice(0, 19).replace('T', ' ');
  return fraction === undefined ? text : `${text}.${fraction}`;
}

function formatted(fields: FieldDef[], records: Field[][]): string {
  const plain = (field: Field): unknown => {
    if (field.isNull) return null;
    const [value] = Object.values(field);
    return field.arrayValue ? Object.values(value as object)[0] : value;
  };
  const named = (record: Field[]) => record.map((field, at) => [fields[at]?.name, plain(field)]);
  return JSON.stringify(records.map((record) => Object.fromEntries(named(record))));
}

function metadata(field: FieldDef, type: Type | undefined): Record<string, unknown> {
  const modifier = field.dataTypeModifier - 4;
  const decimal = type?.kind === 'decimal' && modifier >= 0;
  return {
    arrayBaseColumnType: 0,
    isAutoIncrement: false,
    isCaseSensitive: type?.kind === 'string',
    isCurrency: false,
    isSigned: ['long', 'double', 'decimal'].includes(type?.kind ?? ''),
    label: field.name,
    name: field.name,
    nullable: 2,
    precision: decimal ? modifier >> 16 : 0,
    scale: decimal ? modifier & 0xffff : 0,
    schemaName: '',
    tableName: '',
    type: type?.jdbc ?? 0,
    typeName: type?.name ?? '',
  };
}
