// The faults of the door, in its thread: asked at each call before it runs and after it is done, by rules or by a seed.

import { setTimeout as wait } from 'node:timers/promises';
import { BroadcastChannel } from 'node:worker_threads';
import type { DoorCall } from '../../local/door/faults.ts';
import { byStorm, type Storm } from './storm.ts';

type Point = 'before' | 'after';

/** What happens to a call. `kill` ends the caller's instance while the call is held, and the call with it; `orphan` lets it run on. */
export type Effect =
  | { kind: 'drop' }
  | { kind: 'error'; error: string; status?: number }
  | { kind: 'delay'; ms: number }
  | { kind: 'kill' }
  | { kind: 'orphan' };

export interface Rule {
  /** The function's deployed name, or `operator` for the event source. */
  caller: string;
  service: string;
  operation: string;
  /** The SQL function that the statement calls. */
  statement?: string;
  point: Point;
  /** The first call that is hit, counted from 1 since the rules were armed. */
  nth?: number;
  /** How many calls are hit from there on; one unless told. */
  times?: number;
  effect: Effect;
}

export interface Report {
  /** Calls that came to the door since it was armed, by seam. */
  calls: Record<string, number>;
  /** Faults that were fired, by kind and point. */
  fired: Record<string, number>;
}

export type ToDoor =
  | { to: 'door'; type: 'arm'; ticket: number; rules: Rule[]; storm?: Storm }
  | { to: 'door'; type: 'killed'; ticket: number };
export type ToRig =
  | { to: 'rig'; type: 'armed'; ticket: number; report: Report }
  | { to: 'rig'; type: 'kill'; ticket: number; caller: string };

export function createFault({ channel: name }: { channel: string }) {
  const channel = new BroadcastChannel(name);
  const kills = new Map<number, () => void>();
  let rules: (Rule & { seen: number })[] = [];
  let storm: Storm | undefined;
  let report: Report = { calls: {}, fired: {} };
  let asked = new Map<string, number>();
  let tickets = 0;

  channel.onmessage = ({ data }) => {
    const message = data as ToDoor | ToRig;
    if (message.to !== 'door') return;
    if (message.type === 'killed') return void kills.get(message.ticket)?.();
    const answer: ToRig = { to: 'rig', type: 'armed', ticket: message.ticket, report };
    channel.postMessage(answer);
    rules = message.rules.map((rule) => ({ ...rule, seen: 0 }));
    storm = message.storm;
    report = { calls: {}, fired: {} };
    asked = new Map();
  };
  const kill = (caller: string) =>
    new Promise<void>((resolve) => {
      const ticket = ++tickets;
      kills.set(ticket, resolve);
      channel.postMessage({ to: 'rig', type: 'kill', ticket, caller } satisfies ToRig);
    });

  return (point: Point, call: DoorCall) => {
    const seam = seamOf(call);
    if (point === 'before') report.calls[seam] = (report.calls[seam] ?? 0) + 1;
    const nth = (asked.get(`${seam} ${point}`) ?? 0) + 1;
    asked.set(`${seam} ${point}`, nth);
    const effect = byRule(rules, point, call) ?? byStorm(storm, point, call, nth, seam);
    if (!effect) return undefined;
    const key = `${effect.kind} ${point}`;
    report.fired[key] = (report.fired[key] ?? 0) + 1;
    return apply(effect, call, kill);
  };
}

async function apply(effect: Effect, call: DoorCall, kill: (caller: string) => Promise<void>) {
  switch (effect.kind) {
    case 'drop':
      return 'drop' as const;
    case 'error': {
      const { error, status } = effect;
      return status === undefined ? { error } : { error, status };
    }
    case 'delay':
      await wait(effect.ms);
      return 'ok' as const;
    case 'kill':
      await kill(call.identity);
      return 'drop' as const;
    case 'orphan':
      await kill(call.identity);
      return 'ok' as const;
  }
}

function byRule(rules: (Rule & { seen: number })[], point: Point, call: DoorCall): Effect | undefined {
  let effect: Effect | undefined;
  for (const rule of rules) {
    const { caller, service, operation, statement, nth = 1, times = 1 } = rule;
    if (rule.point !== point || caller !== call.identity || service !== call.service) continue;
    if (operation !== call.operation && operation !== '*') continue;
    if (statement !== undefined && statement !== statementOf(call.sql)) continue;
    rule.seen += 1;
    if (rule.seen >= nth && rule.seen < nth + times) effect ??= rule.effect;
  }
  return effect;
}

/** "name operation", and the SQL function where there is one. */
function seamOf({ identity, service, operation, sql }: DoorCall): string {
  return [identity, service, operation, statementOf(sql)].filter(Boolean).join(' ');
}

function statementOf(sql: string | undefined): string | undefined {
  return sql === undefined ? undefined : /(\w+)\([:\d)]/.exec(sql)?.[1];
}
