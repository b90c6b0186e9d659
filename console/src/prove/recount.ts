// Recounts a month from its lines, as its seal counts and hashes them: the rows, verdicts and hash of each day, then of the month.

/** A day of the ledger, as the contract writes it. */
export interface Day {
  day: string;
  rows: string;
  billable: string;
  overage: string;
  hash: string;
}
export interface Recounted {
  days: Day[];
  rows: string;
  billable: string;
  overage: string;
  /** Over the days, as the seal has it. */
  ledger_hash: string;
}
interface OpenDay {
  day: string;
  rows: number;
  billable: number;
  overage: number;
  digests: Uint8Array[];
}
export interface Recount {
  /** Takes lines joined by LF, in order; resolves to how many there were. */
  add: (lines: string) => Promise<number>;
  end: () => Promise<Recounted>;
}

/** Digests that are under way together: one by one each would wait for its own turn of the loop. */
const lines_at_once = 1_000;
const digest_bytes = 32;
const utf8 = new TextEncoder();

export function startRecount(): Recount {
  const days: Day[] = [];
  let open: OpenDay | undefined;
  const close = async () => {
    if (open) days.push(await closed(open));
    open = undefined;
  };
  const take = async (lines: readonly string[]) => {
    const digests = await Promise.all(lines.map(digest));
    for (const [index, line] of lines.entries()) {
      const day = line.slice(0, 10);
      if (open && open.day !== day) await close();
      open ??= { day, rows: 0, billable: 0, overage: 0, digests: [] };
      count(open, line, digests[index] as Uint8Array);
    }
  };
  return {
    async add(text) {
      if (text === '') return 0;
      const lines = text.split('\n');
      for (let from = 0; from < lines.length; from += lines_at_once)
        await take(lines.slice(from, from + lines_at_once));
      return lines.length;
    },
    async end() {
      await close();
      return sumOf(days);
    },
  };
}

export async function sumOf(days: Day[]): Promise<Recounted> {
  const sum = (field: 'rows' | 'billable' | 'overage') =>
    String(days.reduce((total, day) => total + BigInt(day[field]), 0n));
  const totals = { rows: sum('rows'), billable: sum('billable'), overage: sum('overage') };
  return { days, ...totals, ledger_hash: await hashOfDays(days) };
}

/** SHA-256 of the lines `day|rows|billable|overage|hash` joined by LF. */
export async function hashOfDays(days: readonly Day[]): Promise<string> {
  return sha256(
    days
      .map(({ day, rows, billable, overage, hash }) => [day, rows, billable, overage, hash].join('|'))
      .join('\n'),
  );
}

/** SHA-256 of a text in UTF-8 or of bytes, in hex. */
export async function sha256(content: string | Uint8Array<ArrayBuffer>): Promise<string> {
  const bytes = typeof content === 'string' ? utf8.encode(content) : content;
  return hex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
}

async function digest(line: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', utf8.encode(line)));
}

/** created_at, idempotency_key, idempotency_version, billing_state, billable, id, billing_reason, payload_hash */
function count(day: OpenDay, line: string, lineDigest: Uint8Array): void {
  const [, , , state, billable] = line.split(',', 5);
  day.rows += 1;
  if (billable === 'true') day.billable += 1;
  if (billable === 'true' && state === 'OVERAGE') day.overage += 1;
  day.digests.push(lineDigest);
}

async function closed({ day, rows, billable, overage, digests }: OpenDay): Promise<Day> {
  const all = new Uint8Array(digests.length * digest_bytes);
  for (const [index, one] of digests.entries()) all.set(one, index * digest_bytes);
  return {
    ...{ day, rows: String(rows), billable: String(billable), overage: String(overage) },
    hash: await sha256(all),
  };
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
