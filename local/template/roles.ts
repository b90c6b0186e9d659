// What the template lets each role do: its inline policies and those attached to it, with the names that things have here.
//
// Not reproduced: managed policies of AWS (a role that has one stops the start), trust policies and permission boundaries.
import { checkStatement, type Role, type Statement } from '../iam/policy.ts';
import type { Assembly, Resource } from './assembly.ts';
import type { Resolver } from './resolver.ts';

export interface Roles {
  /** The role of a function of the template, by the function's name or ARN. */
  ofFunction(function_: string): Role;
  /** By its ARN. */
  byArn(arn: string): Role;
}

/** @throws from each method: one sentence that names the policy and what of it cannot be evaluated here. */
export function readRoles(assembly: Assembly, resolver: Resolver): Roles {
  const resources = assembly.stacks.flatMap((stack) => stack.resources);
  const ofType = (type: string) => resources.filter((one) => one.type === type);
  const roles = new Map(ofType('AWS::IAM::Role').map((one) => [nameOfRole(one, resolver), one]));
  const known = new Map<string, Role>();
  const read = (name: string): Role => {
    const resource = roles.get(name);
    if (!resource) throw new Error(`The template has no role ${name}.`);
    const managed = resolver.property(resource, 'ManagedPolicyArns') as unknown[] | undefined;
    if (managed?.length)
      throw new Error(`${placeOf(resource)} has a managed policy, which the embedded stack does not know.`);
    const attached = ['AWS::IAM::Policy', 'AWS::IAM::ManagedPolicy']
      .flatMap(ofType)
      .filter((policy) => ((resolver.property(policy, 'Roles') ?? []) as string[]).includes(name));
    return {
      name,
      statements: [
        ...inlinePolicies(resource, resolver),
        ...attached.flatMap((policy) => statementsOf(resolver.property(policy, 'PolicyDocument'), policy)),
      ],
    };
  };
  const named = (name: string): Role => {
    const role = known.get(name) ?? read(name);
    known.set(name, role);
    return role;
  };
  const byArn = (arn: string) => named(arn.split('/').at(-1) ?? '');
  return {
    byArn,
    ofFunction(function_) {
      const name = function_.split(':')[6] ?? function_;
      const found = ofType('AWS::Lambda::Function').find((one) => nameOfFunction(one, resolver) === name);
      if (!found) throw new Error(`The template has no function ${name}.`);
      return byArn(String(resolver.property(found, 'Role')));
    },
  };
}

function inlinePolicies(role: Resource, resolver: Resolver): Statement[] {
  const policies = (resolver.property(role, 'Policies') ?? []) as { PolicyDocument: unknown }[];
  return policies.flatMap(({ PolicyDocument }) => statementsOf(PolicyDocument, role));
}

function statementsOf(document: unknown, resource: Resource): Statement[] {
  const statements = [(document as { Statement?: unknown }).Statement ?? []].flat();
  return statements.map((one) => checkStatement(one, placeOf(resource)));
}

export function nameOfRole(role: Resource, resolver: Resolver): string {
  return String(resolver.property(role, 'RoleName') ?? role.logicalId);
}

export function nameOfFunction(resource: Resource, resolver: Resolver): string {
  return String(resolver.property(resource, 'FunctionName') ?? resource.logicalId);
}

function placeOf({ stack, logicalId }: Resource): string {
  return `${stack}/${logicalId}`;
}
