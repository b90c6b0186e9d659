// Binds the parameters of a Data API call with the types that the real one gives them, which never infers any.
import { refuse } from './errors.ts';
import { compile } from './placeholders.ts';

export type Value = {
  isNull?: boolean;
  stringValue?: string;
  longValue?: number;
  doubleValue?: number | string;
  booleanValue?: boolean;
  blobValue?: string;
  arrayValue?: unknown;
};
export type Parameter = { name?: string; value?: Value; typeHint?: string };
export type Bound = { text: string; oids: number[]; values: (string | Buffer | null)[] };

/** Zero leaves the type to Postgres, which is what a JDBC driver does for a null of no type. */
const OID = { unknown: 0, boolean: 16, blob: 17, long: 20, double: 701, string: 1043 };
const HINT: Record<string, number> = {
  DATE: 1082,
  DECIMAL: 1700,
  JSON: 3802,
  TIME: 1083,
  TIMESTAMP: 1114,
  UUID: 2950,
};

/** Postgres would take more than these forms, and silently drop a time zone. */
const FORM: Record<string, RegExp> = {
  DATE: /^\d{4}-\d\d-\d\d$/,
  TIME: /^\d\d:\d\d:\d\d(\.\d{1,3})?$/,
  TIMESTAMP: /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,3})?$/,
};

export function bind(sql: string, parameters: Parameter[] = []): Bound {
  const { text, names } = compile(sql);
  const oids: number[] = [];
  const values: Bound['values'] = [];
  for (const name of names) {
    const parameter = parameters.find((candidate) => candidate.name === name);
    if (!parameter) throw refuse('BadRequestException', `Cannot find parameter: ${name}`);
    const [oid, value] = encode(parameter);
    oids.push(oid);
    values.push(value);
  }
  return { text, oids, values };
}

function encode({ name, value = {}, typeHint }: Parameter): [number, string | Buffer | null] {
  const hint = typeHint === undefined ? undefined : HINT[typeHint];
  if (typeHint !== undefined && hint === undefined) {
    throw refuse('ValidationException', `The type hint ${typeHint} of parameter ${name} is not known.`);
  }
  if (value.isNull) return [hint ?? OID.unknown, null];
  if (value.arrayValue !== undefined)
    throw refuse('ValidationException', 'Array parameters are not supported.');
  if (value.stringValue !== undefined) {
    const form = FORM[typeHint ?? ''];
    if (form && !form.test(value.stringValue)) {
      throw refuse(
        'BadRequestException',
        `Parameter ${name} is not of the form that the type hint ${typeHint} needs.`,
      );
    }
    return [hint ?? OID.string, value.stringValue];
  }
  if (value.longValue !== undefined) return [hint ?? OID.long, String(value.longValue)];
  if (value.doubleValue !== undefined) return [hint ?? OID.double, String(value.doubleValue)];
  if (value.booleanValue !== undefined) return [OID.boolean, String(value.booleanValue)];
  if (value.blobValue !== undefined) return [OID.blob, Buffer.from(value.blobValue, 'base64')];
  throw refuse('ValidationException', `Parameter ${name} has no value.`);
}
