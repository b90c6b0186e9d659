// Reads the CloudFormation templates of a CDK cloud assembly, so that the embedded stack runs what would be deployed.
//
// Not reproduced: the Rules section, updates and deletion of resources, values of SSM parameters (a parameter is its
// default), nested CloudFormation stacks, and physical names that CloudFormation would invent.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkIntrinsics, evaluate, references } from './intrinsics.ts';
import { createScope } from './resolver.ts';

export interface Resource {
  stack: string;
  logicalId: string;
  type: string;
  /** As written in the template, intrinsics unresolved. */
  properties: Record<string, unknown>;
  dependsOn: string[];
}

export interface Stack {
  name: string;
  /** The folder of the template; nested assemblies have their own. */
  directory: string;
  /** Without the resources whose condition is false. */
  resources: Resource[];
  outputs: Record<string, { Value: unknown; Export?: { Name: unknown }; Condition?: string }>;
  parameters: Record<string, { Type: string; Default?: unknown }>;
  conditions: Record<string, unknown>;
  mappings: Record<string, Record<string, Record<string, unknown>>>;
}

export interface Pseudo {
  region: string;
  accountId: string;
  partition: string;
  urlSuffix: string;
}

export interface Assembly {
  directory: string;
  stacks: Stack[];
  pseudo: Pseudo;
}

/** The account number is the one that the local SQS engine puts into its ARNs. */
const LOCAL: Pseudo = {
  region: 'eu-west-1',
  accountId: '000000000000',
  partition: 'aws',
  urlSuffix: 'amazonaws.com',
};

interface Manifest {
  artifacts?: Record<
    string,
    { type: string; properties?: { templateFile?: string; stackName?: string; directoryName?: string } }
  >;
}

interface Template {
  Resources?: Record<
    string,
    { Type: string; Properties?: Record<string, unknown>; DependsOn?: string | string[]; Condition?: string }
  >;
  Outputs?: Stack['outputs'];
  Parameters?: Stack['parameters'];
  Conditions?: Stack['conditions'];
  Mappings?: Stack['mappings'];
}

/** @throws Error that says what is missing, or names the first intrinsic that is unknown. */
export function loadAssembly(directory: string, pseudo: Partial<Pseudo> = {}): Assembly {
  const assembly: Assembly = { directory, stacks: [], pseudo: { ...LOCAL, ...pseudo } };
  readManifest(directory, assembly);
  if (assembly.stacks.length === 0) throw new Error(`The cloud assembly ${directory} holds no stack.`);
  for (const stack of assembly.stacks) dropUnconditioned(assembly, stack);
  return assembly;
}

function readManifest(directory: string, assembly: Assembly): void {
  const path = join(directory, 'manifest.json');
  if (!existsSync(path)) {
    throw new Error(`There is no cloud assembly in ${directory}: run "npm run synth" first.`);
  }
  const manifest = JSON.parse(readFileSync(path, 'utf8')) as Manifest;
  for (const [id, { type, properties }] of Object.entries(manifest.artifacts ?? {})) {
    if (type === 'cdk:cloud-assembly' && properties?.directoryName !== undefined) {
      readManifest(join(directory, properties.directoryName), assembly);
    }
    if (type === 'aws:cloudformation:stack' && properties?.templateFile !== undefined) {
      assembly.stacks.push(readStack(properties.stackName ?? id, directory, properties.templateFile));
    }
  }
}

function readStack(name: string, directory: string, file: string): Stack {
  const template = JSON.parse(readFileSync(join(directory, file), 'utf8')) as Template;
  const { Resources = {}, Outputs = {}, Parameters = {}, Conditions = {}, Mappings = {} } = template;
  for (const [id, one] of Object.entries(Resources)) checkIntrinsics(one.Properties, `${name}/${id}`);
  for (const [id, one] of Object.entries(Outputs)) checkIntrinsics(one, `${name}, output ${id}`);
  for (const [id, one] of Object.entries(Conditions)) checkIntrinsics(one, `${name}, condition ${id}`);
  const resources = Object.entries(Resources).map(([logicalId, one]) => ({
    stack: name,
    logicalId,
    type: one.Type,
    properties: one.Properties ?? {},
    dependsOn: [one.DependsOn ?? []].flat(),
    ...(one.Condition === undefined ? {} : { condition: one.Condition }),
  }));
  return {
    name,
    directory,
    resources,
    outputs: Outputs,
    parameters: Parameters,
    conditions: Conditions,
    mappings: Mappings,
  };
}

function dropUnconditioned(assembly: Assembly, stack: Stack): void {
  const scope = createScope(assembly, stack, new Map(), stack.name);
  stack.resources = (stack.resources as (Resource & { condition?: string })[]).filter(
    ({ condition }) => condition === undefined || scope.condition(condition),
  );
}

export interface Classification {
  emulated: Resource[];
  accepted: Resource[];
  /** One sentence a resource. */
  errors: string[];
}

interface Types {
  has(type: string): boolean;
}

/** Sorts every resource of the assembly into emulated, accepted but not emulated, and errors. */
export function classify(assembly: Assembly, types: { emulated: Types; accepted: Types }): Classification {
  const result: Classification = { emulated: [], accepted: [], errors: [] };
  for (const resource of assembly.stacks.flatMap((stack) => stack.resources)) {
    const { stack, logicalId, type } = resource;
    if (runsElsewhere(resource) && !isProvider(assembly, resource)) {
      const { Runtime } = resource.properties;
      result.errors.push(`${stack}/${logicalId} runs on ${Runtime}, which the embedded stack does not.`);
    } else if (types.emulated.has(type)) result.emulated.push(resource);
    else if (types.accepted.has(type)) result.accepted.push(resource);
    else {
      result.errors.push(
        `${stack}/${logicalId} uses ${type}, which the embedded stack neither emulates nor accepts.`,
      );
    }
  }
  return result;
}

function runsElsewhere({ type, properties: { Runtime } }: Resource): boolean {
  return type === 'AWS::Lambda::Function' && typeof Runtime === 'string' && !Runtime.startsWith('nodejs');
}

/** Whether the function is CDK's own behind custom resources: what becomes of those is decided by their types, and it never runs here. */
export function isProvider(assembly: Assembly, { stack, logicalId }: Resource): boolean {
  const others = assembly.stacks.find(({ name }) => name === stack)?.resources ?? [];
  return others.some(({ properties }) => references(properties.ServiceToken).names.has(logicalId));
}

/** The emulated resources, each after everything that it refers to or waits for. */
export function creationOrder(assembly: Assembly, emulated: Types): Resource[] {
  const byKey = new Map<string, Resource>();
  for (const stack of assembly.stacks) for (const one of stack.resources) byKey.set(keyOf(one), one);
  const exports = exportsOf(assembly);
  const order: Resource[] = [];
  const state = new Map<Resource, 'open' | 'done'>();
  const visit = (resource: Resource): void => {
    if (state.get(resource) === 'done') return;
    if (state.get(resource) === 'open') throw new Error(`${keyOf(resource)} depends on itself.`);
    state.set(resource, 'open');
    for (const next of dependencies(resource, exports)) {
      const target = byKey.get(next);
      if (target !== undefined) visit(target);
    }
    state.set(resource, 'done');
    if (emulated.has(resource.type)) order.push(resource);
  };
  for (const resource of byKey.values()) visit(resource);
  return order;
}

function dependencies(resource: Resource, exports: Map<string, { stack: string; value: unknown }>): string[] {
  const { names, imports } = references(resource.properties);
  const own = [...names, ...resource.dependsOn].map((name) => `${resource.stack}/${name}`);
  const foreign = [...imports].flatMap((name) => {
    const source = exports.get(name);
    return source === undefined
      ? []
      : [...references(source.value).names].map((id) => `${source.stack}/${id}`);
  });
  return [...own, ...foreign];
}

function exportsOf(assembly: Assembly): Map<string, { stack: string; value: unknown }> {
  const found = new Map<string, { stack: string; value: unknown }>();
  for (const stack of assembly.stacks) {
    const scope = createScope(assembly, stack, new Map(), stack.name);
    for (const { Value, Export } of Object.values(stack.outputs)) {
      if (Export !== undefined)
        found.set(String(evaluate(Export.Name, scope)), { stack: stack.name, value: Value });
    }
  }
  return found;
}

/** The folder that a function's `Code.S3Key` stands for, or undefined when the assembly does not hold one. */
export function assetDirectory(assembly: Assembly, stackName: string, s3Key: string): string | undefined {
  const folder = `asset.${s3Key.replace(/\.zip$/, '')}`;
  const stack = assembly.stacks.find(({ name }) => name === stackName);
  const places = [stack?.directory, assembly.directory].filter((place) => place !== undefined);
  return places.map((place) => join(place, folder)).find((path) => existsSync(path));
}

function keyOf({ stack, logicalId }: Resource): string {
  return `${stack}/${logicalId}`;
}

export { createResolver } from './resolver.ts';
