// Shows which lines of a web server's access log can be read, and that reading undoes writing.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AccessLine, formatAccessLine, parseAccessLine } from '../../cli/access-log.ts';

const HEAD = '203.0.113.9 - frank [17/May/2026:10:05:03 +0200]';
const COMMON = `${HEAD} "GET /a?b=c HTTP/1.1" 200 2326`;

function read(raw: string): AccessLine {
  const parsed = parseAccessLine(raw);
  if ('reason' in parsed) throw new Error(`${parsed.reason}: ${raw}`);
  return parsed.line;
}

const reason = (raw: string): string | undefined => {
  const parsed = parseAccessLine(raw);
  return 'reason' in parsed ? parsed.reason : undefined;
};

const word = fc.stringMatching(/^[^\s[\]]{1,20}$/);
const field = fc
  .string({
    unit: fc.oneof(fc.constantFrom('"', '\\', ' ', 'x', '2'), fc.string({ minLength: 1, maxLength: 1 })),
  })
  .filter((text) => text !== '-' && text !== '' && !/[\r\n]/.test(text));
const anyLine: fc.Arbitrary<AccessLine> = fc.record({
  host: word,
  ident: word,
  user: word,
  time: fc.integer({ min: 0, max: 4_102_444_799 }).map((seconds) => new Date(seconds * 1000).toISOString()),
  method: fc.constantFrom('GET', 'POST', 'HEAD', 'OPTIONS', 'M-SEARCH'),
  target: fc
    .oneof(
      field.map((text) => `/${text}`),
      fc.webUrl(),
    )
    .filter((text) => !text.endsWith(' ')),
  protocol: fc.constantFrom('HTTP/1.0', 'HTTP/1.1', 'HTTP/2'),
  status: fc.integer({ min: 100, max: 599 }),
  bytes: fc.nat(),
  referrer: fc.option(field),
  agent: fc.option(field),
});

describe('reading an access log line', () => {
  test('formatting a line and parsing it gives the same fields', () => {
    fc.assert(
      fc.property(anyLine, (line) => {
        expect(read(formatAccessLine(line))).toEqual(line);
      }),
    );
  });

  test('no text at all makes the parser throw', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (raw) => void parseAccessLine(`${HEAD} "${raw}`)));
  });

  test('a common line has neither referrer nor agent', () => {
    expect(read(COMMON)).toMatchObject({
      host: '203.0.113.9',
      user: 'frank',
      time: '2026-05-17T08:05:03.000Z',
      target: '/a?b=c',
      bytes: 2326,
      referrer: null,
      agent: null,
    });
  });

  test('escaped quotes belong to the field, as Apache and as nginx write them', () => {
    const line = read(`${COMMON} "http://a/?q=\\"x\\"" "Agent \\x22one\\x22 \\\\ \\xe4"`);
    expect(line.referrer).toBe('http://a/?q="x"');
    expect(line.agent).toBe('Agent "one" \\ \\xe4');
  });

  test('a last field without its closing quote is read to the end of the line', () => {
    expect(read(`${COMMON} "-" "Bot/2.1 (+http://bot.example/`).agent).toBe('Bot/2.1 (+http://bot.example/');
    expect(read(`${COMMON} "http://bot.example/`).referrer).toBe('http://bot.example/');
  });

  test('a size of - counts as no bytes, and a line end of Windows changes nothing', () => {
    expect(read(`${HEAD} "GET / HTTP/1.1" 304 - "-" "-"\r`)).toMatchObject({ bytes: 0, agent: null });
  });

  test('a user name may hold spaces and a request may come without protocol', () => {
    const line = read('host - John Q Public [17/May/2026:10:05:03 +0000] "GET /x" 200 1');
    expect(line).toMatchObject({ user: 'John Q Public', protocol: null, target: '/x' });
  });

  test.each([
    ['', 'the line is empty'],
    ['x'.repeat(20_000), 'the line is longer than 16384 characters'],
    ['hello world', 'no [time] before a quoted request'],
    [`${HEAD} "-" 408 -`, 'no request'],
    [`${HEAD} "\\x16\\x03\\x01" 400 226`, 'the request is not METHOD target PROTOCOL'],
    [`${HEAD} "GET / HTTP/1.1 200 5`, 'the request has no closing quote'],
    [`${HEAD} "GET / HTTP/1.1" abc 5`, 'no status and size after the request'],
    [COMMON.replace('17/May', '31/Jun'), 'the time is not like 05/Jan/2026:08:00:00 +0000'],
  ])('%# is refused with a reason', (raw, expected) => {
    expect(reason(raw)).toBe(expected);
  });
});
