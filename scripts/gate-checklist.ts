// The release gate's checklist: each item with the tests that show it, and the verdict of a run on each.

/** Tests of a file: all of them, or those whose full name matches. */
export interface Shown {
  file: string;
  test?: RegExp;
}

export interface Item {
  part: 'A' | 'B' | 'C';
  claim: string;
  shown_by: Shown[];
}

/** What of vitest's JSON report is read. */
export interface Report {
  success: boolean;
  numFailedTests: number;
  testResults: {
    name: string;
    status: string;
    message?: string;
    assertionResults: { fullName: string; status: string }[];
  }[];
}

export interface Verdict {
  part: Item['part'];
  claim: string;
  ok: boolean;
  /** How many tests show it, or why it is not shown. */
  why: string;
}

export const parts = {
  A: 'Test gate',
  B: 'Invariants',
  C: 'Migration safety',
  D: 'Post-deploy smoke',
} as const;

const outcomes = 'test/http/sync-outcomes.test.ts';
const ingest = 'test/sql/ingest.test.ts';
const rate = 'test/http/rate-limit.test.ts';

export const checklist: Item[] = [
  {
    part: 'A',
    claim: 'An event is billed once, however often and however concurrently it comes',
    shown_by: [
      { file: ingest, test: /^a key / },
      { file: 'test/sql/exactly-n.test.ts' },
      { file: outcomes, test: /came before is a duplicate/ },
    ],
  },
  {
    part: 'A',
    claim: 'A quota admits exactly its limit, and a soft one up to its hard cap',
    shown_by: [
      { file: ingest, test: /^the quota / },
      { file: outcomes, test: /beyond a soft limit/ },
    ],
  },
  {
    part: 'A',
    claim: 'A frozen invoice is final and its hash can be recomputed by anybody',
    shown_by: [{ file: 'test/sql/invoices.test.ts' }, { file: 'test/http/invoice-freeze.test.ts' }],
  },
  {
    part: 'A',
    claim: 'A dispute export needs billing:view, and any changed byte of it is found',
    shown_by: [{ file: 'test/http/dispute-export.test.ts' }, { file: 'test/cli/evidence.test.ts' }],
  },
  {
    part: 'A',
    claim: "The requirements' own SQL gives what they state",
    shown_by: [{ file: 'test/sql/requirements.test.ts' }],
  },
  {
    part: 'B',
    claim: 'Ledger away: 500 billing_gate_closed before anything is published or counted',
    shown_by: [{ file: 'test/faults/ledger-away.test.ts', test: /the gate closes/ }],
  },
  {
    part: 'B',
    claim: 'Quota refusal: 429, x-opsmantik-quota-exceeded, Retry-After',
    shown_by: [{ file: outcomes, test: /beyond a hard limit is refused/ }],
  },
  {
    part: 'B',
    claim: 'Rate limit: 429, x-opsmantik-ratelimit, never the quota header, no ledger row',
    shown_by: [
      { file: rate, test: /the 101st is refused without a quota header and without a ledger row/ },
      { file: rate, test: /is told the two 429s apart/ },
    ],
  },
  {
    part: 'B',
    claim: 'What a quota refuses stays in the ledger with billable=false',
    shown_by: [
      { file: ingest, test: /a rejected row is evidence/ },
      { file: 'test/sql/requirements.test.ts', test: /what a quota refused is not billable/ },
    ],
  },
  {
    part: 'C',
    claim: 'Migrations only add: no column, enum label, function or role is taken away',
    shown_by: [{ file: 'test/sql/migration-safety.test.ts' }],
  },
  {
    part: 'C',
    claim: 'A migration is applied once, refused when edited, and resumes after a crash',
    shown_by: [{ file: 'test/sql/migration.test.ts' }],
  },
];

/** The files that a run must hold, each once. */
export function filesOf(items: Item[]): string[] {
  return [...new Set(items.flatMap(({ shown_by }) => shown_by.map(({ file }) => file)))];
}

/** An item is shown when every test it names is there and passed: one that was skipped, renamed or deleted shows nothing. */
export function judge({ part, claim, shown_by }: Item, report: Report): Verdict {
  let passed = 0;
  for (const { file, test } of shown_by) {
    const result = report.testResults.find(({ name }) => name.endsWith(`/${file}`));
    const named = result?.assertionResults.filter(({ fullName }) => !test || test.test(fullName)) ?? [];
    const wrong = named.find(({ status }) => status !== 'passed');
    if (wrong) return { part, claim, ok: false, why: `${wrong.status}: ${file}: ${wrong.fullName}` };
    if (named.length === 0 || (!test && result?.status !== 'passed'))
      return {
        part,
        claim,
        ok: false,
        why: `not shown by ${file}${test ? ` ${test}` : ''}${result?.message ? `: ${result.message}` : ''}`,
      };
    passed += named.length;
  }
  return { part, claim, ok: true, why: `shown by ${passed} ${passed === 1 ? 'test' : 'tests'}` };
}
