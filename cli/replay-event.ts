// Turns one line of an access log into one tracker event: the same line always gives the same id and the same bytes.
import { createHash } from 'node:crypto';
import type { AccessLine } from './access-log.ts';

const PAGE = /(?:\/|\/[^/.]*|\.(?:html?|php|aspx?|jsp))$/i;

export function eventId(number: number, raw: Buffer): string {
  return `log-${number}-${createHash('sha256').update(raw).digest('hex').slice(0, 16)}`;
}

function absolute(base: string, target: string): string {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(target)) return target;
  return target.startsWith('/') ? `${base}${target}` : `${base}/${target}`;
}

/**
 * The log's own time travels as `meta.time`: the tracker's `t` refuses what is older than 60 days. The client's address
 * stays in the log, for nothing here needs it.
 */
export function eventJson(site: string, base: string, number: number, raw: Buffer, line: AccessLine): string {
  const path = line.target.split('?', 1)[0] ?? '';
  return JSON.stringify({
    s: site,
    i: eventId(number, raw),
    url: absolute(base, line.target),
    ec: 'page',
    ea: line.method === 'GET' && PAGE.test(path) ? 'view' : 'request',
    el: `${line.method} ${line.status}`,
    ev: line.bytes,
    ...(line.referrer === null ? {} : { r: line.referrer }),
    meta: {
      time: line.time,
      method: line.method,
      status: line.status,
      bytes: line.bytes,
      ...(line.protocol === null ? {} : { protocol: line.protocol }),
      ...(line.agent === null ? {} : { user_agent: line.agent }),
      line: number,
    },
  });
}
