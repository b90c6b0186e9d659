// Random events as JSON text, for much of what is hostile does not survive as an object: 1e999, keys that come twice, -0.
import fc from 'fast-check';

const quoted = (text: string) => JSON.stringify(text);
const nested = (depth: number, open: string, close: string) => open.repeat(depth) + close.repeat(depth);

const numbers = [
  '1e999',
  '-1e999',
  '1e-400',
  '-0',
  '0.0',
  '5e-324',
  '1.7976931348623157e308',
  '1e21',
  '-1e15',
]
  .concat([
    '9007199254740991',
    '9007199254740992',
    '9007199254740993',
    '-9007199254740991',
    '-9007199254740993',
  ])
  .concat([
    '0.1',
    '123456789.123456789',
    '1.0',
    '1E2',
    '9007199254740990.5',
    '4.35',
    '12345678901234567890.5',
  ]);
const texts = ['"\\u0000"', '"a\\u0000b"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\ud83d"']
  .concat(
    ['"\\ufeff"', '"\\u202e"', '"\\uffff"', '"\\u2028"', '"\\u007f"', '"\\\\u0000"', '"\\"', '"\\\\"'].filter(
      isJson,
    ),
  )
  .concat(['""', '" "', '"null"', '"[object Object]"', '":site ::uuid $1 ?"', `"'; drop table events; --"`]);
const objects = ['{}', '[]', '[[]]', '[null]', '{"":{}}', '{"a":1,"a":2}', '{"length":-1}', '{"toJSON":null}']
  .concat(['{"__proto__":null}', '{"__proto__":{"i":"x"}}', '{"constructor":1}', '{"toString":1}'])
  .concat([
    '{"toString":1,"valueOf":1}',
    '{"fp":{"toString":1}}',
    '{"fp":{"valueOf":{}}}',
    '{"fp":[["a"]]}',
    '{"fp":null}',
  ])
  .concat([
    '{"then":{}}',
    '{"ts":"x"}',
    '{"ts":1e308}',
    '{"hasOwnProperty":0}',
    '{"\\ud800":1}',
    '{"\\u0000":1}',
  ]);

/** Any JSON value, as text; often one that something trips over. */
export const hostileValue: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...numbers, 'null', 'true', 'false') },
  { weight: 3, arbitrary: fc.constantFrom(...texts) },
  { weight: 3, arbitrary: fc.constantFrom(...objects) },
  { weight: 2, arbitrary: fc.jsonValue({ maxDepth: 4 }).map((value) => JSON.stringify(value)) },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }).map(quoted) },
  { weight: 1, arbitrary: fc.double().map((value) => String(value).replace(/NaN|-?Infinity/, '0')) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 40 }).map((depth) => nested(depth, '[', ']')) },
  {
    weight: 1,
    arbitrary: fc
      .integer({ min: 1, max: 40 })
      .map((depth) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(5_000, 33_000, 60_000).map((length) => quoted('x'.repeat(length))),
  },
  { weight: 1, arbitrary: fc.constantFrom(2_049, 4_097).map((length) => quoted('é😀'.repeat(length))) },
);

const known = [
  'url',
  'u',
  'sid',
  'sm',
  'ec',
  'ea',
  'el',
  'ev',
  'r',
  't',
  'n',
  'v',
  'st',
  'meta',
  'ts',
  'timestamp',
  'created_at',
];
const proto = [
  '__proto__',
  'constructor',
  'toString',
  'valueOf',
  'hasOwnProperty',
  'toJSON',
  'then',
  'length',
  '',
];
/** Neither the site nor the id, which decide on the whole body. */
const name = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...known) },
  { weight: 2, arbitrary: fc.constantFrom(...proto) },
  {
    weight: 1,
    arbitrary: fc.string({ maxLength: 8 }).filter((text) => !['s', 'i', 'e', 'events'].includes(text)),
  },
);

/** What keys are made of lies in meta too. */
const meta = fc
  .array(fc.tuple(fc.constantFrom('fp', 'ts', '__proto__', 'toString'), hostileValue), { maxLength: 3 })
  .map(
    (fields) => ['meta', `{${fields.map(([key, value]) => `${quoted(key)}:${value}`).join(',')}}`] as const,
  );

/** Fields to be added to a good event, maybe over its own, maybe twice. */
export const hostileFields: fc.Arbitrary<string> = fc
  .array(fc.oneof({ weight: 5, arbitrary: fc.tuple(name, hostileValue) }, { weight: 1, arbitrary: meta }), {
    maxLength: 5,
  })
  .map((fields) => fields.map(([key, value]) => `,${quoted(key)}:${value}`).join(''));

/** An id that is one, none, or something else; never absent. */
export const hostileId: fc.Arbitrary<string | undefined> = fc.option(
  hostileValue.filter((value) => value !== 'null'),
  { nil: undefined, freq: 4 },
);

export interface DrawnBody {
  form: 'single' | 'events' | 'compact';
  /** A single event need not have an id. */
  keyed: boolean;
  events: { id: string | undefined; fields: string }[];
}

export const hostileBody: fc.Arbitrary<DrawnBody> = fc.record({
  form: fc.constantFrom('single', 'events', 'compact'),
  keyed: fc.boolean(),
  events: fc.array(fc.record({ id: hostileId, fields: hostileFields }), { minLength: 1, maxLength: 6 }),
});

/** A body whose frame is hostile too. */
export const hostileFrame: fc.Arbitrary<string> = fc.oneof(
  hostileValue,
  fc
    .array(fc.tuple(fc.constantFrom('s', 'e', 'events', 'i', 'url', 'v', '__proto__'), hostileValue), {
      maxLength: 5,
    })
    .map((fields) => `{${fields.map(([key, value]) => `${quoted(key)}:${value}`).join(',')}}`),
  fc
    .tuple(hostileFields, hostileValue)
    .map(([fields, i]) => `{"s":"SITE","url":"https://example.com/","i":${i}${fields}}`),
  fc.tuple(hostileFields).map(([fields]) => `{"s":"SITE","url":"https://example.com/"${fields}}`),
  fc.array(hostileValue, { maxLength: 4 }).map((values) => `{"events":[${values.join(',')}]}`),
  fc.array(hostileValue, { maxLength: 4 }).map((values) => `{"s":"SITE","v":1,"e":[${values.join(',')}]}`),
  fc
    .tuple(hostileFields, fc.nat(60))
    .map(([fields, at]) => `{"s":"SITE","url":"x"${fields}}`.slice(0, -at - 1)),
);

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
