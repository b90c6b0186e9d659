// The commands on corrections of a frozen month: one person proposes, another decides, the open month books.
import { type Call, type Command, required, requiredMonth, text, UsageError } from './command.ts';
import { print, printJson, shown, table } from './output.ts';
import { sitePath } from './site.ts';

type Proposal = {
  id: string;
  corrects_month: string;
  event_delta: string;
  overage_delta: string;
  reason: string;
  author: string;
  decision: string | null;
  decided_by: string | null;
};

const path = (site: string): string => `${sitePath(site)}/adjustments`;

function row(p: Proposal): string[] {
  const state = p.decision ? `${p.decision} by ${p.decided_by}` : 'waits';
  return [p.id, p.corrects_month, p.event_delta, p.overage_delta, p.author, state, p.reason];
}

const HEADER = ['ID', 'MONTH', 'EVENTS', 'OVERAGE', 'AUTHOR', 'DECISION', 'REASON'];

function signed({ values }: Call, name: string): string | undefined {
  const value = text(values, name);
  if (value !== undefined && !/^-?\d{1,13}$/.test(value))
    throw new UsageError(`Option --${name} must be a whole number such as -5, not "${value}".`);
  return value;
}

async function propose(call: Call): Promise<number> {
  const overage_delta = signed(call, 'overage');
  required(call.values, 'events');
  const body = {
    corrects_month: requiredMonth(call.values),
    event_delta: signed(call, 'events'),
    ...(overage_delta !== undefined && { overage_delta }),
    reason: required(call.values, 'reason'),
  };
  const answer = await call.api().send<{ adjustment: Proposal }>('POST', path(call.args[0] ?? ''), body);
  if (call.json) printJson(answer);
  else print(table([row(answer.adjustment)], HEADER));
  return 0;
}

function decide(verb: string, decision: 'approved' | 'rejected'): Command {
  return {
    words: `adjust ${verb}`,
    usage: '<site> <id>',
    summary: `${verb} a proposed correction; ${verb === 'approve' ? 'its author cannot' : 'nothing is booked'}`,
    positionals: 2,
    options: {},
    async run({ args, json, api }) {
      const [site = '', id = ''] = args;
      const door = `${path(site)}/${encodeURIComponent(id)}/decision`;
      const answer = await api().send<{ adjustment: Proposal }>('POST', door, { decision });
      if (json) printJson(answer);
      else print(table([row(answer.adjustment)], HEADER));
      return 0;
    },
  };
}

export const adjustCommands: Command[] = [
  {
    words: 'adjust propose',
    usage: '<site> --month YYYY-MM --events N [--overage N] --reason R',
    summary: "propose a correction of a frozen month, for another person's approval",
    positionals: 1,
    options: {
      month: { type: 'string', value: 'YYYY-MM', help: 'the frozen month that it corrects' },
      events: { type: 'string', value: 'N', help: 'billable events more, or with a minus sign fewer' },
      overage: { type: 'string', value: 'N', help: 'how many of them are overage' },
      reason: { type: 'string', value: 'R', help: 'why; part of the evidence' },
    },
    run: propose,
  },
  decide('approve', 'approved'),
  decide('reject', 'rejected'),
  {
    words: 'adjust list',
    usage: '<site>',
    summary: "list a site's corrections, decided ones too",
    positionals: 1,
    options: {},
    async run({ args, json, api }) {
      const answer = await api().get<{ adjustments: Proposal[] }>(path(args[0] ?? ''));
      if (json) printJson(answer);
      else
        print(
          table(
            answer.adjustments.map((one) => row(one).map(shown)),
            HEADER,
          ),
        );
      return 0;
    },
  },
];
