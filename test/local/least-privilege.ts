// A stack whose functions can lose one grant at a time, and what their stimuli need: cold instances, aged months, broken uploads.
import { setTimeout as wait } from 'node:timers/promises';
import type { Denial } from '../../local/door/authorization.ts';
import { type Grant, judge, type Role } from '../../local/iam/policy.ts';
import { fakeClock } from '../../local/schedule/clock.ts';
import { accessKey } from '../../local/template/provision.ts';
import { cronSecretOf } from '../support/callers.ts';
import { openStack, type TestStack } from '../support/stack.ts';

/** How long a call may go on after it was denied something. */
const patience_ms = 2_500;

export interface Rig {
  stack: TestStack;
  /** Runs a function by its entry as the scheduler does, or with an event of its own. */
  invoke(entry: string, event?: object): Promise<unknown>;
  /** Ends the instances of a function, so that the next call finds one that remembers nothing. */
  cool(entry: string): Promise<void>;
  /** Fails each part of an upload while this runs. */
  withoutParts<Result>(run: () => Promise<Result>): Promise<Result>;
  /** Takes the grant from the function while this runs, which ends soon when it is missed; what was denied to it meanwhile. */
  without(entry: string, grant: Grant, run: () => Promise<unknown>): Promise<Denial[]>;
}

/** Prepares with every grant, and gives what cannot be done without the one. */
export type Stimulus = (rig: Rig) => Act | Promise<Act>;
export type Act = () => Promise<unknown>;
/** By grant, as `label` writes it. */
export type Stimuli = Record<string, Stimulus>;

export const invoked =
  (entry: string): Stimulus =>
  ({ invoke }) =>
  () =>
    invoke(entry);

/** A call with the cron secret, which a cold instance has to read. */
export const byCronSecret =
  (entry: string, path: string): Stimulus =>
  async ({ stack, cool }) => {
    await cool(entry);
    const headers = { authorization: `Bearer ${cronSecretOf(stack)}` };
    return () => fetch(`${stack.url}${path}`, { headers });
  };

/** Of jobs that ask nothing but the ledger. */
export function ledger(entry: string, role: string): Stimuli {
  return {
    'rds-data:ExecuteStatement on local-cluster': invoked(entry),
    [`secretsmanager:GetSecretValue on Ledger${role}Secret`]: invoked(entry),
  };
}

/** A grant without account, region and the hashes of names. */
export function label({ action, resource }: Grant): string {
  const name = resource
    .split(':')
    .at(-1)
    ?.replace(/^table\//, '');
  return `${action} on ${name?.replace(/[0-9a-f]{8}(?=$|\/\*$)/i, '')}`;
}

/** One by one what a role allows, without what cannot be seen here. */
export function grantsOf({ statements }: Role): Grant[] {
  const all = statements
    .filter(({ Effect }) => Effect === 'Allow')
    .flatMap(({ Action = [], Resource = [] }) =>
      [Action].flat().flatMap((action) => [Resource].flat().map((resource) => ({ action, resource }))),
    );
  return all.filter(({ action }) => !/^(logs|xray):/.test(action));
}

/** Whether the grant is what a denied call lacked. */
export function covers({ action, resource }: Grant, denied: Grant): boolean {
  return judge([{ Effect: 'Allow', Action: action, Resource: resource }], denied) === 'allowed';
}

export function reduced(role: Role, grant: Grant): Role {
  const left = grantsOf(role).filter(
    ({ action, resource }) => action !== grant.action || resource !== grant.resource,
  );
  return {
    name: role.name,
    statements: left.map(({ action, resource }) => ({ Effect: 'Allow', Action: action, Resource: resource })),
  };
}

export async function openRig(): Promise<Rig> {
  const failing = new Int32Array(new SharedArrayBuffer(4));
  const cooling = new Set<string>();
  const denied: Denial[] = [];
  let missed: () => void = () => undefined;
  const stack = await openStack({
    clock: fakeClock(new Date()), // no job runs but those that are asked to
    doorFault: { module: new URL('./upload-fault.ts', import.meta.url).href, options: { failing } },
    functionFault: async (point, call) =>
      point === 'before' && cooling.has(call.function) ? 'terminate' : 'ok',
    onDenied(denial) {
      denied.push(denial);
      missed();
    },
  });
  const invoke: Rig['invoke'] = (entry, event = { scheduled_time: new Date().toISOString() }) =>
    stack.functions.invoke(stack.functionName(entry), event);
  const cool = async (entry: string) => {
    const name = stack.functionName(entry);
    cooling.add(name);
    while (stack.functions.instances(name) > 0) await stack.functions.invoke(name, {});
    cooling.delete(name);
  };
  return {
    stack,
    invoke,
    cool,
    async withoutParts(run) {
      Atomics.store(failing, 0, 1);
      return run().finally(() => Atomics.store(failing, 0, 0));
    },
    async without(entry, grant, run) {
      const name = stack.functionName(entry);
      const role = stack.roles.ofFunction(name);
      denied.length = 0;
      await stack.door.addIdentity(accessKey(name), name, reduced(role, grant));
      const { promise: noticed, resolve } = Promise.withResolvers<void>();
      missed = resolve;
      const ended = run();
      await Promise.race([ended, noticed.then(() => wait(patience_ms))]);
      await stack.functions.terminate(name); // one that would wait for better times
      await ended;
      await stack.door.addIdentity(accessKey(name), name, role); // what was denied before has been told by now
      return denied.filter(({ identity }) => identity === name);
    },
  };
}
