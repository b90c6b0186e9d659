// Reads and writes one line of a web server's access log in the common and the combined format.

export type AccessLine = {
  host: string;
  ident: string;
  user: string;
  /** ISO time in UTC, whatever offset the log was written with. */
  time: string;
  method: string;
  target: string;
  protocol: string | null;
  status: number;
  bytes: number;
  referrer: string | null;
  agent: string | null;
};
export type Parsed = { line: AccessLine } | { reason: string };

// Beyond this no event could be admitted: the contract ends at 32 KiB an event.
const MAX_LENGTH = 16_384;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const TIME = /^(\d{2})\/([A-Z][a-z]{2})\/(\d{4}):(\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})$/;
const REQUEST = /^([A-Z][A-Z-]{0,19}) (\S.*?)(?: (HTTP\/\d(?:\.\d)?))?$/s;
const TARGET = /^(?:\/|\*$|[a-z][a-z0-9+.-]*:\/\/|[^\s/]+:\d{1,5}$)/i;

function parseTime(text: string): string | undefined {
  const match = TIME.exec(text);
  if (!match) return undefined;
  const [, day, name = '', year, hour, minute, second, sign, offsetHours, offsetMinutes] = match;
  const month = MONTHS.indexOf(name);
  const local = Date.UTC(Number(year), month, Number(day), Number(hour), Number(minute), Number(second));
  const real =
    month >= 0 &&
    new Date(Date.UTC(Number(year), month, Number(day))).getUTCDate() === Number(day) &&
    Number(hour) < 24 &&
    Number(minute) < 60 &&
    Number(second) <= 60;
  if (!real) return undefined;
  const offset = (Number(offsetHours) * 60 + Number(offsetMinutes)) * 60_000;
  return new Date(sign === '-' ? local + offset : local - offset).toISOString();
}

/** Apache escapes a quote as \" and nginx as \x22; bytes that are no printable ASCII stay as they are written. */
function unescaped(text: string): string {
  return text.replace(/\\(?:x([0-9a-fA-F]{2})|(["\\]))/g, (whole, hex?: string, plain?: string) => {
    if (plain !== undefined) return plain;
    const code = Number.parseInt(hex ?? '', 16);
    return code >= 0x20 && code <= 0x7e ? String.fromCharCode(code) : whole;
  });
}

/** The quoted field that opens at `start`; one without a closing quote reaches to the end of the line. */
function quoted(raw: string, start: number): { text: string; end: number; closed: boolean } {
  let i = start + 1;
  while (i < raw.length && raw[i] !== '"') i += raw[i] === '\\' ? 2 : 1;
  const end = Math.min(i, raw.length);
  return { text: unescaped(raw.slice(start + 1, end)), end: end + 1, closed: i < raw.length };
}

function optionalField(raw: string, from: number): { text: string | null; end: number } {
  let start = from;
  while (raw[start] === ' ') start += 1;
  if (raw[start] !== '"') return { text: null, end: start };
  const field = quoted(raw, start);
  return { text: field.text === '-' || field.text === '' ? null : field.text, end: field.end };
}

export function parseAccessLine(raw: string): Parsed {
  if (raw.trim() === '') return { reason: 'the line is empty' };
  if (raw.length > MAX_LENGTH) return { reason: `the line is longer than ${MAX_LENGTH} characters` };
  const open = raw.indexOf(' [');
  const close = raw.indexOf('] "', open);
  if (open < 0 || close < 0) return { reason: 'no [time] before a quoted request' };
  const [host = '', ident = '-', ...user] = raw.slice(0, open).trim().split(' ');
  const time = parseTime(raw.slice(open + 2, close));
  if (time === undefined) return { reason: 'the time is not like 05/Jan/2026:08:00:00 +0000' };
  const request = quoted(raw, close + 2);
  if (!request.closed) return { reason: 'the request has no closing quote' };
  if (request.text === '-' || request.text === '') return { reason: 'no request' };
  const parts = REQUEST.exec(request.text);
  const target = parts?.[2] ?? '';
  if (!parts || !TARGET.test(target)) return { reason: 'the request is not METHOD target PROTOCOL' };
  const numbers = /^ +(\d{3}) +(\d{1,15}|-)(?= |$)/.exec(raw.slice(request.end));
  if (!numbers) return { reason: 'no status and size after the request' };
  const referrer = optionalField(raw, request.end + numbers[0].length);
  const agent = optionalField(raw, referrer.end);
  return {
    line: {
      host,
      ident,
      user: user.join(' ') || '-',
      time,
      method: parts[1] ?? '',
      target,
      protocol: parts[3] ?? null,
      status: Number(numbers[1]),
      bytes: numbers[2] === '-' ? 0 : Number(numbers[2]),
      referrer: referrer.text,
      agent: agent.text,
    },
  };
}

const escaped = (text: string): string => text.replace(/["\\]/g, '\\$&');

/** The combined format, in UTC. */
export function formatAccessLine(line: AccessLine): string {
  const [date = '', clock = ''] = line.time.split('T');
  const [year, month, day] = date.split('-');
  const time = `${day}/${MONTHS[Number(month) - 1]}/${year}:${clock.slice(0, 8)} +0000`;
  const request = `${line.method} ${line.target}${line.protocol === null ? '' : ` ${line.protocol}`}`;
  const bytes = line.bytes === 0 ? '-' : String(line.bytes);
  const tail = `"${escaped(line.referrer ?? '-')}" "${escaped(line.agent ?? '-')}"`;
  return `${line.host} ${line.ident} ${line.user} [${time}] "${escaped(request)}" ${line.status} ${bytes} ${tail}`;
}
