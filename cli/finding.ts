// The commands on findings: what does not agree between providers and the ledger, and what finance does about it.
import { randomUUID } from 'node:crypto';
import { type Command, required, text, UsageError, type Values } from './command.ts';
import { note, print, printJson, shown, table } from './output.ts';

type Fields = Record<string, unknown>;
export type Finding = Fields & { id: string; finding_type: string; status: string };
type Correction = Fields & { id: string; state: string };
type Sides = Finding & { raw: Fields; corrections: Correction[] };

const root = '/api/v1/payments/reconciliation';
const path = (id: string) => `${root}/findings/${encodeURIComponent(id)}`;
const shown_max = 200;

const columns = ['id', 'status', 'severity', 'finding_type', 'provider', 'tenant_id', 'tx_id', 'owner'];
const header = ['ID', 'STATUS', 'SEVERITY', 'TYPE', 'PROVIDER', 'TENANT', 'TRANSACTION', 'OWNER'];
const row = (one: Fields): string[] => columns.map((name) => shown(one[name]));

const correctionColumns = [
  ...['id', 'state', 'delta_minor', 'currency', 'proposed_by', 'decided_by', 'reason'],
];
const correctionHeader = ['CORRECTION', 'STATE', 'DELTA', 'CURRENCY', 'PROPOSED BY', 'DECIDED BY', 'REASON'];
const correctionTable = (found: Correction[]) =>
  table(
    found.map((one) => correctionColumns.map((name) => shown(one[name]))),
    correctionHeader,
  );

const list: Command = {
  words: 'finding list',
  usage: '[--status OPEN|RESOLVED] [--provider P] [--type T] [--tenant T]',
  summary: 'list what does not agree between providers and the ledger, newest first',
  positionals: 0,
  options: {
    status: { type: 'string', value: 'S', help: 'OPEN or RESOLVED (default: both)' },
    provider: { type: 'string', value: 'P', help: 'of this provider only' },
    type: { type: 'string', value: 'T', help: 'of this type only, for example missing_in_ledger' },
    tenant: { type: 'string', value: 'T', help: 'of this tenant only' },
  },
  async run({ values, json, api }) {
    const asked: Record<string, string | undefined> = {
      ...{ status: text(values, 'status'), provider: text(values, 'provider') },
      ...{ finding_type: text(values, 'type'), tenant_id: text(values, 'tenant') },
    };
    if (asked.status !== undefined && !['OPEN', 'RESOLVED'].includes(asked.status))
      throw new UsageError(`Option --status must be OPEN or RESOLVED, not "${asked.status}".`);
    const query = new URLSearchParams({ limit: String(shown_max) });
    for (const [name, value] of Object.entries(asked)) if (value !== undefined) query.set(name, value);
    const answer = await api().get<{ items: Finding[]; meta: { total: number } }>(
      `${root}/findings?${query}`,
    );
    if (json) printJson(answer);
    else print(table(answer.items.map(row), header));
    const { total } = answer.meta;
    if (total > answer.items.length)
      note(`The newest ${answer.items.length} of ${total} findings are shown; narrow them by an option.`);
    return 0;
  },
};

/** Both sides in columns where there are two; what an event said where there is only that. */
function sides({ provider, ledger, ...rest }: Fields): string {
  if (typeof provider !== 'object' && typeof ledger !== 'object')
    return table(Object.entries(rest).map(([name, value]) => [name, said(value)]));
  const [theirs, ours] = [provider, ledger].map((side) => (side ?? {}) as Fields) as [Fields, Fields];
  const names = [...new Set([...Object.keys(theirs), ...Object.keys(ours)])];
  return table(
    names.map((name) => [name, said(theirs[name]), said(ours[name])]),
    ['', 'PROVIDER', 'LEDGER'],
  );
}

const said = (value: unknown) =>
  typeof value === 'object' && value !== null ? JSON.stringify(value) : shown(value);

const show: Command = {
  words: 'finding show',
  usage: '<id>',
  summary: 'show a finding with both sides and its corrections',
  positionals: 1,
  options: {},
  async run({ args, json, api }) {
    const answer = await api().get<{ finding: Sides }>(path(args[0] ?? ''));
    if (json) {
      printJson(answer);
      return 0;
    }
    const { raw, corrections, ...plain } = answer.finding;
    print(table(Object.entries(plain).map(([name, value]) => [name, shown(value)])));
    print(`\n${sides(raw)}`);
    if (corrections.length > 0) print(`\n${correctionTable(corrections)}`);
    return 0;
  },
};

const resolve: Command = {
  words: 'finding resolve',
  usage: '<id> --reason R [--accept]',
  summary: 'resolve a finding; with --accept as a difference that is known and stays',
  positionals: 1,
  options: {
    reason: { type: 'string', value: 'R', help: 'why; kept in the audit log' },
    accept: { type: 'boolean', help: 'do not open it again as long as it says the same' },
  },
  async run({ args, values, json, api }) {
    const body = { reason: required(values, 'reason'), accept: values.accept === true };
    const answer = await api().send<{ finding: Finding }>('POST', `${path(args[0] ?? '')}/resolve`, body);
    if (json) printJson(answer);
    else print(table([row(answer.finding)], header));
    return 0;
  },
};

const own: Command = {
  words: 'finding own',
  usage: '<id> --owner NAME|--nobody',
  summary: 'say who works on a finding',
  positionals: 1,
  options: {
    owner: { type: 'string', value: 'NAME', help: 'who' },
    nobody: { type: 'boolean', help: 'nobody any more' },
  },
  async run({ args, values, json, api }) {
    const owner = text(values, 'owner');
    if ((owner === undefined) === (values.nobody !== true))
      throw new UsageError('One of the options --owner and --nobody is needed.');
    const body = { owner: owner ?? null };
    const answer = await api().send<{ finding: Finding }>('PUT', `${path(args[0] ?? '')}/owner`, body);
    if (json) printJson(answer);
    else print(table([row(answer.finding)], header));
    return 0;
  },
};

function delta(values: Values): string {
  const value = required(values, 'delta-minor');
  if (!/^-?[1-9]\d{0,18}$/.test(value))
    throw new UsageError(
      `Option --delta-minor must be a whole number of minor units such as -250, not "${value}".`,
    );
  return value;
}

const correct: Command = {
  words: 'finding correct',
  usage: '<id> --delta-minor N --currency C --reason R [--key KEY]',
  summary: "post a transfer to the player's wallet that makes both sides agree",
  positionals: 1,
  options: {
    'delta-minor': { type: 'string', value: 'N', help: 'minor units more, or with a minus sign fewer' },
    currency: { type: 'string', value: 'C', help: 'for example USD' },
    reason: { type: 'string', value: 'R', help: 'why; part of the evidence' },
    key: { type: 'string', value: 'KEY', help: 'the key of a call that is repeated (default: a new one)' },
  },
  async run({ args, values, json, api }) {
    const body = {
      delta_minor: delta(values),
      currency: required(values, 'currency'),
      reason: required(values, 'reason'),
    };
    const key = text(values, 'key') ?? randomUUID();
    note(`Idempotency-Key ${key}: with --key ${key} the same call is made once, however often.`);
    type Answer = { correction: Correction; finding: Finding };
    const headers = { 'idempotency-key': key };
    const answer = await api().send<Answer>('POST', `${path(args[0] ?? '')}/correction`, body, headers);
    if (json) printJson(answer);
    else print(correctionTable([answer.correction]));
    if (answer.correction.state === 'proposed')
      note('It is above what one person may correct, and waits for somebody else: kernel finding approve.');
    return 0;
  },
};

function decide(action: 'approve' | 'reject'): Command {
  return {
    words: `finding ${action}`,
    usage: '<correction> --reason R',
    summary: `${action} a correction that waits; ${action === 'approve' ? 'its proposer cannot' : 'nothing is moved'}`,
    positionals: 1,
    options: { reason: { type: 'string', value: 'R', help: 'why; part of the evidence' } },
    async run({ args, values, json, api }) {
      const door = `${root}/corrections/${encodeURIComponent(args[0] ?? '')}/decision`;
      const body = { action, reason: required(values, 'reason') };
      const answer = await api().send<{ correction: Correction }>('POST', door, body);
      if (json) printJson(answer);
      else print(correctionTable([answer.correction]));
      return 0;
    },
  };
}

export const findingCommands = [list, show, resolve, own, correct, decide('approve'), decide('reject')];
