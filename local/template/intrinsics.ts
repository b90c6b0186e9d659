// Evaluates the intrinsic functions of a CloudFormation template, so that every property means here what it means deployed.
//
// Not reproduced: Fn::Transform, Fn::ForEach, Fn::Cidr, Fn::GetStackOutput, Fn::Contains and the other functions of the
// Rules section (rules guard a deployment and are not read), and dynamic references ({{resolve:...}}). Each is an error.

/** What an expression may look up; every method throws when it has no answer. */
export interface Scope {
  ref(name: string): unknown;
  attribute(logicalId: string, name: string): string;
  importValue(name: string): unknown;
  condition(name: string): boolean;
  mapping(map: string, first: string, second: string): unknown;
  region: string;
  /** Where the expression stands, for the error text. */
  place: string;
}

/** A `Ref` to AWS::NoValue: the property is left out. */
export const NO_VALUE: unique symbol = Symbol('AWS::NoValue');

type Arguments = unknown[];
type Evaluate = (node: unknown) => unknown;

const CONDITION_FUNCTIONS: Record<string, (list: Arguments, evaluate: Evaluate) => boolean> = {
  'Fn::Equals': ([a, b], evaluate) => JSON.stringify(evaluate(a)) === JSON.stringify(evaluate(b)),
  'Fn::Not': ([a], evaluate) => evaluate(a) !== true,
  'Fn::And': (list, evaluate) => list.every((one) => evaluate(one) === true),
  'Fn::Or': (list, evaluate) => list.some((one) => evaluate(one) === true),
};

const FUNCTIONS: Record<string, (list: Arguments, evaluate: Evaluate, scope: Scope) => unknown> = {
  ...CONDITION_FUNCTIONS,
  'Fn::GetAtt': (list, evaluate, scope) => {
    const [id = '', attribute = ''] = list.length === 1 ? splitOnce(text(list[0], scope)) : list;
    return scope.attribute(text(id, scope), text(evaluate(attribute), scope));
  },
  'Fn::Join': ([separator, items], evaluate, scope) =>
    array(evaluate(items), scope)
      .map((item) => text(item, scope))
      .join(text(separator, scope)),
  'Fn::Sub': ([template, variables = {}], evaluate, scope) =>
    substitute(text(template, scope), variables as Record<string, unknown>, evaluate, scope),
  'Fn::Select': ([index, items], evaluate, scope) => {
    const list = array(evaluate(items), scope);
    const chosen = list[Number(evaluate(index))];
    if (chosen === undefined) throw fault(scope, `Fn::Select asks for item ${index} of ${list.length}`);
    return chosen;
  },
  'Fn::Split': ([separator, source], evaluate, scope) =>
    text(evaluate(source), scope).split(text(separator, scope)),
  'Fn::ImportValue': ([name], evaluate, scope) => scope.importValue(text(evaluate(name), scope)),
  'Fn::GetAZs': (_list, _evaluate, scope) => ['a', 'b', 'c'].map((zone) => scope.region + zone),
  'Fn::FindInMap': ([map, first, second], evaluate, scope) =>
    scope.mapping(
      ...([map, first, second].map((key) => text(evaluate(key), scope)) as [string, string, string]),
    ),
  'Fn::If': ([name, yes, no], evaluate, scope) => evaluate(scope.condition(text(name, scope)) ? yes : no),
};

/** The value of a node of a template. */
export function evaluate(node: unknown, scope: Scope): unknown {
  const inner: Evaluate = (child) => evaluate(child, scope);
  if (Array.isArray(node)) return node.map(inner).filter((item) => item !== NO_VALUE);
  if (typeof node === 'string') return plain(node, scope);
  if (typeof node !== 'object' || node === null) return node;
  const call = intrinsic(node);
  if (call === undefined) {
    const entries = Object.entries(node).map(([key, value]) => [key, inner(value)] as const);
    return Object.fromEntries(entries.filter(([, value]) => value !== NO_VALUE));
  }
  if (call.name === 'Ref') return scope.ref(text(call.argument, scope));
  if (call.name === 'Condition') return scope.condition(text(call.argument, scope));
  const run = FUNCTIONS[call.name];
  if (run === undefined) throw fault(scope, `the intrinsic ${call.name} is unknown`);
  const result = run(Array.isArray(call.argument) ? call.argument : [call.argument], inner, scope);
  return typeof result === 'string' ? plain(result, scope) : result;
}

/** @throws Error that names the first intrinsic this file does not know. */
export function checkIntrinsics(node: unknown, place: string): void {
  if (typeof node !== 'object' || node === null) return;
  for (const [key, value] of Object.entries(node)) {
    if (key.startsWith('Fn::') && FUNCTIONS[key] === undefined) {
      throw new Error(`${place} uses the intrinsic ${key}, which the embedded stack does not know.`);
    }
    if (key.startsWith('Fn::') && Object.keys(node).length > 1) {
      throw new Error(`${place} mixes the intrinsic ${key} with other keys in one object.`);
    }
    checkIntrinsics(value, place);
  }
}

export interface References {
  /** Logical ids, parameters and pseudo parameters. */
  names: Set<string>;
  /** Names of exports of other stacks. */
  imports: Set<string>;
}

/** Everything that a node refers to, in both branches of every Fn::If. */
export function references(
  node: unknown,
  found: References = { names: new Set(), imports: new Set() },
): References {
  if (typeof node !== 'object' || node === null) return found;
  const call = Array.isArray(node) ? undefined : intrinsic(node);
  const first = Array.isArray(call?.argument) ? call.argument[0] : call?.argument;
  if (call?.name === 'Ref') found.names.add(String(call.argument));
  if (call?.name === 'Fn::GetAtt') found.names.add(splitOnce(String(first))[0]);
  if (call?.name === 'Fn::ImportValue' && typeof first === 'string') found.imports.add(first);
  if (call?.name === 'Fn::Sub') {
    const own = Array.isArray(call.argument) ? Object.keys(call.argument[1] ?? {}) : [];
    for (const [, name = ''] of String(first).matchAll(VARIABLE)) {
      if (!name.startsWith('!') && !own.includes(name)) found.names.add(splitOnce(name)[0]);
    }
  }
  for (const value of Object.values(node)) references(value, found);
  return found;
}

const VARIABLE = /\$\{([^}]*)\}/g;

function substitute(
  template: string,
  variables: Record<string, unknown>,
  evaluate: Evaluate,
  scope: Scope,
): string {
  return template.replace(VARIABLE, (_all, name: string) => {
    if (name.startsWith('!')) return `\${${name.slice(1)}}`;
    const key = name.trim();
    if (Object.hasOwn(variables, key)) return text(evaluate(variables[key]), scope);
    if (!key.includes('.')) return text(scope.ref(key), scope);
    return scope.attribute(...splitOnce(key));
  });
}

function intrinsic(node: object): { name: string; argument: unknown } | undefined {
  const keys = Object.keys(node);
  const name = keys[0];
  if (keys.length !== 1 || name === undefined) return undefined;
  const argument = (node as Record<string, unknown>)[name];
  // A policy statement also has a key `Condition`; only the one with a name is the intrinsic.
  const named = (name === 'Ref' || name === 'Condition') && typeof argument === 'string';
  return named || name.startsWith('Fn::') ? { name, argument } : undefined;
}

/** Whether the node is a call of an intrinsic, not a plain object. */
export function isIntrinsic(node: object): boolean {
  return intrinsic(node) !== undefined;
}

function plain(value: string, scope: Scope): string {
  // Handing the unresolved text to an engine would look like a value and be none.
  if (value.includes('{{resolve:')) throw fault(scope, `the dynamic reference ${value} is not supported`);
  return value;
}

function splitOnce(name: string): [string, string] {
  const dot = name.indexOf('.');
  return dot < 0 ? [name, ''] : [name.slice(0, dot), name.slice(dot + 1)];
}

function text(value: unknown, scope: Scope): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw fault(scope, `a text is expected where ${JSON.stringify(value)} stands`);
}

function array(value: unknown, scope: Scope): unknown[] {
  if (Array.isArray(value)) return value;
  throw fault(scope, `a list is expected where ${JSON.stringify(value)} stands`);
}

function fault(scope: Scope, what: string): Error {
  return new Error(`${scope.place}: ${what}.`);
}
