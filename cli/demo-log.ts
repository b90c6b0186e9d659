// Writes a synthetic access log, the same for the same seed, for readers who have none of their own.
import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type AccessLine, formatAccessLine } from './access-log.ts';
import { type Command, Failure, integer, text } from './command.ts';
import { print, printJson } from './output.ts';

const START = Date.UTC(2026, 0, 5);
const MEAN_GAP_MS = 60_000;
const HOME = 'https://shop.example';
// Share of the busiest hour, in percent, for each hour of the day in UTC.
const DAY_CURVE = [
  18, 12, 9, 8, 9, 14, 26, 44, 66, 82, 90, 94, 88, 90, 96, 100, 97, 92, 88, 86, 78, 62, 44, 28,
];
const PAGES = [
  '/',
  '/products/',
  '/products/espresso-grinder',
  '/products/kettle',
  '/products/filter-papers',
  '/cart',
  '/checkout',
  '/about.html',
  '/blog/2026/01/brewing-at-altitude',
  '/blog/2025/12/water-hardness',
  '/search?q=grinder&page=2',
  '/help/returns',
];
const ASSETS = [
  '/assets/app.css',
  '/assets/app.js',
  '/images/logo.svg',
  '/images/kettle.jpg',
  '/images/grinder.jpg',
  '/favicon.ico',
];
const REFERRERS = [
  'https://www.google.com/',
  'https://duckduckgo.com/',
  'https://news.example.net/coffee?ref="weekly"',
  'https://social.example.org/@barista',
];
const AGENTS = [
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36',
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Safari/605.1.15',
  'Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148',
  'Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0',
  'Mozilla/5.0 (compatible; Examplebot/2.1; +https://bot.example/about)',
];
// Address blocks that are reserved for documentation.
const NETWORKS = ['192.0.2', '198.51.100', '203.0.113'];

/** Mulberry32: small, fast and the same everywhere; whole numbers below `n`. */
function randomFrom(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

type Visitor = { host: string; agent: string; page: string | null };

function visit(visitor: Visitor, time: number, random: (n: number) => number): AccessLine {
  const pick = (list: string[]): string => list[random(list.length)] ?? '/';
  const asset = visitor.page !== null && random(100) < 55;
  const kind = random(1000);
  const line: AccessLine = {
    host: visitor.host,
    ident: '-',
    user: '-',
    time: new Date(time).toISOString(),
    method: 'GET',
    target: pick(asset ? ASSETS : PAGES),
    protocol: 'HTTP/1.1',
    status: 200,
    bytes: asset ? 800 + random(180_000) : 4_000 + random(40_000),
    referrer: visitor.page !== null ? `${HOME}${visitor.page}` : random(3) > 0 ? pick(REFERRERS) : null,
    agent: random(400) === 0 ? null : visitor.agent,
  };
  if (kind < 45) Object.assign(line, { status: 304, bytes: 0 });
  else if (kind < 65) Object.assign(line, { status: 404, target: '/old/catalogue.php', bytes: 512 });
  else if (kind < 80) Object.assign(line, { status: 301, target: '/products', bytes: 178 });
  else if (kind < 92) Object.assign(line, { method: 'POST', target: '/cart', status: 303, bytes: 0 });
  else if (kind < 96) Object.assign(line, { method: 'HEAD', target: '/', bytes: 0 });
  else if (kind < 98) Object.assign(line, { status: 500, bytes: 96 });
  if (!asset && line.method === 'GET' && line.status === 200) visitor.page = line.target;
  return line;
}

export function* demoLines(lines: number, seed: number): Generator<string> {
  const random = randomFrom(seed);
  const visitors: Visitor[] = [];
  let time = START;
  for (let n = 0; n < lines; n += 1) {
    const busy = DAY_CURVE[new Date(time).getUTCHours()] ?? 100;
    time += Math.floor((random(2 * MEAN_GAP_MS) * 60) / busy);
    const slot = random(24);
    let visitor = visitors[slot];
    if (!visitor || random(100) < 8) {
      const host = `${NETWORKS[random(NETWORKS.length)]}.${1 + random(254)}`;
      visitor = { host, agent: AGENTS[random(AGENTS.length)] ?? '-', page: null };
      visitors[slot] = visitor;
    }
    yield formatAccessLine(visit(visitor, time, random));
  }
}

function* chunks(lines: number, seed: number): Generator<string> {
  let chunk = '';
  for (const line of demoLines(lines, seed)) {
    chunk += `${line}\n`;
    if (chunk.length > 65_536) {
      yield chunk;
      chunk = '';
    }
  }
  if (chunk) yield chunk;
}

const demoLog: Command = {
  words: 'demo-log',
  usage: '[--lines 10000] [--seed 1] [--output FILE]',
  summary: 'write a synthetic access log, the same for the same seed',
  positionals: 0,
  options: {
    lines: { type: 'string', value: 'N', help: 'how many lines (default 10000)' },
    seed: { type: 'string', value: 'N', help: 'another seed gives another log (default 1)' },
    output: { type: 'string', value: 'FILE', help: 'write to a file instead of stdout' },
  },
  async run({ values, json }) {
    const lines = integer(values, 'lines', 0, 1_000_000_000) ?? 10_000;
    const seed = integer(values, 'seed', 0, 4_294_967_295) ?? 1;
    const file = text(values, 'output');
    const source = Readable.from(chunks(lines, seed));
    if (file === undefined) {
      await pipeline(source, process.stdout, { end: false });
      return 0;
    }
    try {
      await pipeline(source, createWriteStream(file));
    } catch (error) {
      throw new Failure(`The file ${file} cannot be written (${(error as NodeJS.ErrnoException).code}).`);
    }
    if (json) printJson({ file, lines, seed });
    else print(`${lines} lines written to ${file}.`);
    return 0;
  },
};

export const demoLogCommands = [demoLog];
