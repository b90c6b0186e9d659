// No role may more than its function needs, and none less: each grant of the template is taken away, and its absence is seen.
//
// How a function is made to use a grant stands in stimuli/, one file a function. What AWS does with a role by itself is asked at
// the start of a stack, without a call. Logs and traces have no engine here, so their grants are not tried.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FUNCTIONS } from '../../infra/config.ts';
import type { Grant, Role } from '../../local/iam/policy.ts';
import { checkServiceGrants } from '../../local/template/service-grants.ts';
import { covers, grantsOf, label, openRig, type Rig, reduced, type Stimuli } from './least-privilege.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig?.stack.close());

/** What AWS would miss first, without the grant. */
function missedAtStart(role: Role, grant: Grant): string | undefined {
  const without = reduced(role, grant);
  const needs = rig.stack.serviceNeeds.map((need) =>
    need.role.name === role.name ? { ...need, role: without } : need,
  );
  try {
    checkServiceGrants(needs);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

describe.each(FUNCTIONS)('%s', (entry) => {
  test('needs each grant that it has, and misses exactly the one that is taken away', async () => {
    const { default: stimuli } = (await import(`./stimuli/${entry}.ts`)) as { default: Stimuli };
    const role = rig.stack.roles.ofFunction(rig.stack.functionName(entry));
    const grants = grantsOf(role);
    expect(new Set(grants.map(label)).size, 'a grant is given once').toBe(grants.length);
    const missed: Record<string, string[]> = {};
    for (const grant of grants) {
      const stimulus = stimuli[label(grant)];
      const atStart = missedAtStart(role, grant);
      const denied = stimulus ? await rig.without(entry, grant, await stimulus(rig)) : [];
      missed[label(grant)] = [
        ...new Set(denied.map((one) => label(covers(grant, one) ? grant : one))),
        ...(atStart?.endsWith(`the role ${role.name} may not ${grant.action} on ${grant.resource}.`)
          ? ['at the start']
          : []),
      ];
    }
    const expected = grants.map((grant) => {
      const name = label(grant);
      return [name, stimuli[name] ? [name] : ['at the start']];
    });
    expect(missed, 'a grant that nothing misses is in excess').toEqual(Object.fromEntries(expected));
    expect(Object.keys(stimuli).filter((name) => !(name in missed))).toEqual([]);
  });
});

test('what AWS itself does is allowed, and each grant of a role that only AWS takes is needed', () => {
  const ours = FUNCTIONS.map((entry) => rig.stack.roles.ofFunction(rig.stack.functionName(entry)).name);
  const roles = new Map(rig.stack.serviceNeeds.map(({ role }) => [role.name, role]));
  const others = [...roles.values()].filter(({ name }) => !ours.includes(name));
  expect(others.length).toBeGreaterThan(0);
  for (const role of others) {
    for (const grant of grantsOf(role)) {
      if (isTwin(grant, role)) continue;
      expect([role.name, label(grant), missedAtStart(role, grant)]).toEqual([
        role.name,
        label(grant),
        expect.stringMatching(
          /^\S+ cannot work: the role \S+ may not (lambda:InvokeFunction|sqs:SendMessage) on \S+\.$/,
        ),
      ]);
    }
  }
});

/** CDK lets its trigger invoke the function itself beside its versions, of which alone it makes use. */
function isTwin({ resource }: Grant, role: Role): boolean {
  return grantsOf(role).some((other) => other.resource === `${resource}:*`);
}
