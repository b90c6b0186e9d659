// Turns the properties of a template into values, once the engines have said what each resource is called here.

import type { Assembly, Resource, Stack } from './assembly.ts';
import { evaluate, isIntrinsic, NO_VALUE, type Scope } from './intrinsics.ts';

/** What `Ref` and `Fn::GetAtt` answer for a resource. */
export interface ResourceValue {
  ref: string;
  attributes: Record<string, string>;
}

/** Keyed by "stack/logicalId"; may grow while resources are created. */
export type ResourceValues = ReadonlyMap<string, ResourceValue>;

export interface Resolver {
  /** Any node of a template, in the scope of the resource. */
  resolve(resource: Resource, node: unknown): unknown;
  /** One property by its path ("Environment.Variables"), so that properties which nobody needs are never resolved. */
  property(resource: Resource, path: string): unknown;
  /** All properties: throws as soon as one refers to something that is not emulated. */
  properties(resource: Resource): Record<string, unknown>;
  /** The outputs of a stack that can be resolved. */
  output(stack: string, name: string): unknown;
}

/** @throws from each method: one sentence when a reference has no value, an attribute or an intrinsic is unknown. */
export function createResolver(assembly: Assembly, values: ResourceValues): Resolver {
  const scopeOf = (stackName: string, place: string): Scope =>
    createScope(assembly, stackNamed(assembly, stackName), values, place);
  const resolve = (resource: Resource, node: unknown): unknown =>
    evaluate(node, scopeOf(resource.stack, `${resource.stack}/${resource.logicalId}`));
  return {
    resolve,
    properties: (resource) => resolve(resource, resource.properties) as Record<string, unknown>,
    property(resource, path) {
      let node: unknown = resource.properties;
      for (const key of path.split('.')) {
        if (typeof node !== 'object' || node === null) return undefined;
        // A step into an intrinsic, as into an Fn::If, can only go through its value.
        if (isIntrinsic(node)) node = resolve(resource, node);
        node = (node as Record<string, unknown> | undefined)?.[key];
      }
      const value = resolve(resource, node);
      return value === NO_VALUE ? undefined : value;
    },
    output(stackName, name) {
      const node = stackNamed(assembly, stackName).outputs[name];
      if (node === undefined) throw new Error(`The stack ${stackName} has no output ${name}.`);
      return evaluate(node.Value, scopeOf(stackName, `${stackName}, output ${name}`));
    },
  };
}

/** The names that an expression of one stack can see. */
export function createScope(assembly: Assembly, stack: Stack, values: ResourceValues, place: string): Scope {
  const { pseudo } = assembly;
  const known: Record<string, unknown> = {
    'AWS::Region': pseudo.region,
    'AWS::AccountId': pseudo.accountId,
    'AWS::Partition': pseudo.partition,
    'AWS::URLSuffix': pseudo.urlSuffix,
    'AWS::StackName': stack.name,
    'AWS::StackId': `arn:${pseudo.partition}:cloudformation:${pseudo.region}:${pseudo.accountId}:stack/${stack.name}/local`,
    'AWS::NoValue': NO_VALUE,
  };
  const resourceValue = (id: string): ResourceValue => {
    const found = values.get(`${stack.name}/${id}`);
    if (found !== undefined) return found;
    const type = stack.resources.find(({ logicalId }) => logicalId === id)?.type;
    if (type === undefined) throw new Error(`${place} refers to ${id}, which ${stack.name} does not hold.`);
    throw new Error(
      `${place} refers to ${stack.name}/${id} (${type}), which has no value in the embedded stack.`,
    );
  };
  const scope: Scope = {
    region: pseudo.region,
    place,
    ref(name) {
      if (Object.hasOwn(known, name)) return known[name];
      const parameter = stack.parameters[name];
      if (parameter === undefined) return resourceValue(name).ref;
      if (parameter.Default !== undefined) return parameter.Default;
      throw new Error(`${place} refers to the parameter ${name}, which has no default.`);
    },
    attribute(id, name) {
      const value = resourceValue(id).attributes[name];
      if (value !== undefined) return value;
      throw new Error(
        `${place} refers to the attribute ${name} of ${stack.name}/${id}, which is unknown here.`,
      );
    },
    importValue: (name) => imported(assembly, values, name, place),
    condition(name) {
      if (!Object.hasOwn(stack.conditions, name))
        throw new Error(`${place} names no known condition: ${name}.`);
      return evaluate(stack.conditions[name], scope) === true;
    },
    mapping(map, first, second) {
      const value = stack.mappings[map]?.[first]?.[second];
      if (value !== undefined) return value;
      throw new Error(
        `${place} looks up ${map}.${first}.${second}, which is not in the mappings of ${stack.name}.`,
      );
    },
  };
  return scope;
}

function imported(assembly: Assembly, values: ResourceValues, name: string, place: string): unknown {
  for (const stack of assembly.stacks) {
    const scope = createScope(assembly, stack, values, `${place}, through the export ${name}`);
    for (const { Value, Export } of Object.values(stack.outputs)) {
      if (Export !== undefined && evaluate(Export.Name, scope) === name) return evaluate(Value, scope);
    }
  }
  throw new Error(`${place} imports ${name}, which no stack of the assembly exports.`);
}

function stackNamed(assembly: Assembly, name: string): Stack {
  const stack = assembly.stacks.find((one) => one.name === name);
  if (stack === undefined) throw new Error(`The assembly holds no stack ${name}.`);
  return stack;
}
