// The fault rig of an embedded stack: arms the door's rules and storms, kills instances, and counts what was called and fired.
import { randomUUID } from 'node:crypto';
import { BroadcastChannel } from 'node:worker_threads';
import { SetQueueAttributesCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { FaultCall } from '../../local/lambda/functions.ts';
import type { LocalOptions } from '../../local/start.ts';
import { openStack, type TestStack } from '../support/stack.ts';
import type { Report, Rule, ToDoor, ToRig } from './door-faults.ts';
import { chance, type Storm } from './storm.ts';

/** So that an undelivered message comes again while a test waits; in the template it is minutes. */
const visibility_timeout_s = 1;

/** A worker's death around its handler: before it begins, or after it ended and before its result is returned. */
export interface Death {
  /** The function's deployed name. */
  caller: string;
  point: 'before' | 'after';
  times?: number;
}

export interface Rig {
  stack: TestStack;
  queue: { url: string; client: SQSClient };
  /** Replaces what was armed; resolves when the door knows of it, with what happened until then. */
  arm(rules: Rule[], deaths?: Death[]): Promise<Report>;
  /** Faults at random from now on. */
  storm(storm: Storm): Promise<Report>;
  /** No more faults; what happened since they were armed. */
  heal(): Promise<Report>;
  /** How often an instance of the function, by its deployed name, was given an event. */
  invocations(caller: string): number;
  close(): Promise<void>;
}

export async function openRig(options: Partial<LocalOptions> = {}): Promise<Rig> {
  const name = `faults ${randomUUID()}`;
  const channel = new BroadcastChannel(name);
  channel.unref();
  const worker = workerFaults();
  const stack = await openStack({
    ...options,
    doorFault: { module: new URL('./door-faults.ts', import.meta.url).href, options: { channel: name } },
    functionFault: worker.fault,
  });
  const waiting = new Map<number, (report: Report) => void>();
  let tickets = 0;

  channel.onmessage = async ({ data }) => {
    const message = data as ToDoor | ToRig;
    if (message.to !== 'rig') return;
    if (message.type === 'armed') return waiting.get(message.ticket)?.(message.report);
    await stack.functions.terminate(message.caller);
    channel.postMessage({ to: 'door', type: 'killed', ticket: message.ticket } satisfies ToDoor);
  };
  const arm = async (rules: Rule[], storm?: Storm) => {
    const ticket = ++tickets;
    const { promise, resolve } = Promise.withResolvers<Report>();
    waiting.set(ticket, resolve);
    channel.postMessage({
      to: 'door',
      type: 'arm',
      ticket,
      rules,
      ...(storm && { storm }),
    } satisfies ToDoor);
    const { calls, fired } = await promise;
    waiting.delete(ticket);
    return { calls, fired: { ...fired, ...worker.fired() } };
  };

  const queue = {
    url: stack.resource('AWS::SQS::Queue', 'DeliveryQueue').ref,
    client: new SQSClient(stack.client),
  };
  await queue.client.send(
    new SetQueueAttributesCommand({
      QueueUrl: queue.url,
      Attributes: { VisibilityTimeout: String(visibility_timeout_s) },
    }),
  );
  return {
    stack,
    queue,
    arm: (rules, deaths = []) => worker.next(deaths, undefined, () => arm(rules)),
    storm: (storm) => worker.next([], storm, () => arm([], storm)),
    heal: () => worker.next([], undefined, () => arm([])),
    invocations: worker.invocations,
    async close() {
      channel.close();
      queue.client.destroy();
      await stack.close();
    },
  };
}

/** The deaths of workers, which the pool asks for in this thread. */
function workerFaults() {
  let deaths: (Death & { left: number })[] = [];
  let storm: Storm | undefined;
  let fired: Record<string, number> = {};
  const asked = new Map<string, number>();
  const begun = new Map<string, number>();
  const dies = (point: 'before' | 'after', caller: string): boolean => {
    const due = deaths.find((death) => death.left > 0 && death.point === point && death.caller === caller);
    if (due) {
      due.left -= 1;
      return true;
    }
    if (!storm?.callers.includes(caller)) return false;
    const seam = `${caller} handler ${point}`;
    const nth = (asked.get(seam) ?? 0) + 1;
    asked.set(seam, nth);
    return chance(storm.seed, `${seam} ${nth}`) < storm.perMille.kill;
  };
  return {
    async fault(point: 'before' | 'after', { function: caller }: FaultCall): Promise<'ok' | 'terminate'> {
      if (point === 'before') begun.set(caller, (begun.get(caller) ?? 0) + 1);
      if (!dies(point, caller)) return 'ok';
      const key = `kill handler ${point}`;
      fired[key] = (fired[key] ?? 0) + 1;
      return 'terminate';
    },
    fired: () => fired,
    invocations: (caller: string) => begun.get(caller) ?? 0,
    /** Changes the deaths together with the door's faults, and begins to count anew once those are reported. */
    async next(wanted: Death[], stormWanted: Storm | undefined, change: () => Promise<Report>) {
      deaths = [];
      storm = undefined;
      const report = await change();
      fired = {};
      asked.clear();
      deaths = wanted.map((death) => ({ ...death, left: death.times ?? 1 }));
      storm = stormWanted;
      return report;
    },
  };
}
