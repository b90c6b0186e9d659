// Writes the types of the console's client from docs/openapi.json, or with --check fails when they are stale.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

interface Schema {
  $ref?: string;
  type?: string | string[];
  const?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  items?: Schema;
  prefixItems?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | boolean;
}
interface Parameter {
  $ref?: string;
  name: string;
  in: 'path' | 'query' | 'header';
  required?: boolean;
  schema?: Schema;
}
interface Content {
  content?: Record<string, { schema: Schema }>;
}
interface Operation {
  operationId: string;
  parameters?: Parameter[];
  requestBody?: Content & { required?: boolean };
  responses: Record<string, Content & { $ref?: string }>;
  security: Record<string, unknown>[];
}
interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema>; parameters: Record<string, Parameter> };
}

const root = join(import.meta.dirname, '..');
const file = join(root, 'console/src/api/contract.gen.ts');

/** The text of the file, for the contract. */
function contractTypes(document: Document): string {
  const { schemas, parameters } = document.components;
  const named = Object.entries(schemas).map(([name, schema]) => `export type ${name} = ${typeOf(schema)};`);
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item)
      .filter(([, { security }]) => security.length === 0 || security.some((one) => 'bearerToken' in one))
      .map(([method, one]) => `  '${method.toUpperCase()} ${path}': ${operationType(one, parameters)};`),
  );
  return [
    '// Written by `npm run openapi` from docs/openapi.json: the types of every operation that a token may call. Do not edit.',
    '// biome-ignore-all format: generated',
    '',
    ...named,
    '',
    '/** By method and path, which is how the client is called. */',
    'export interface Operations {',
    ...operations,
    '}',
    '',
  ].join('\n');
}

function operationType(operation: Operation, shared: Record<string, Parameter>): string {
  const parameters = (operation.parameters ?? []).map((one) =>
    one.$ref ? (shared[one.$ref.split('/').at(-1) ?? ''] as Parameter) : one,
  );
  const part = (where: Parameter['in']) => {
    const own = parameters.filter((one) => one.in === where);
    if (own.length === 0) return 'undefined';
    const fields = own.map(
      ({ name, required, schema }) => `${key(name)}${required ? '' : '?'}: ${typeOf(schema ?? {})}`,
    );
    return `{ ${fields.join('; ')} }`;
  };
  const body = operation.requestBody?.content?.['application/json']?.schema;
  const answers = Object.entries(operation.responses)
    .filter(([status]) => status.startsWith('2'))
    .flatMap(([, { content = {} }]) =>
      Object.entries(content).map(([type, { schema }]) =>
        type.includes('json') ? typeOf(schema) : 'string',
      ),
    );
  return `{ path: ${part('path')}; query: ${part('query')}; headers: ${part('header')}; body: ${body ? typeOf(body) : 'undefined'}; answer: ${[...new Set(answers)].join(' | ') || 'undefined'} }`;
}

function typeOf(schema: Schema): string {
  if (schema.$ref) return schema.$ref.split('/').at(-1) ?? 'unknown';
  if ('const' in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(' | ');
  const some = schema.anyOf ?? schema.oneOf;
  if (some) return [...new Set(some.map(typeOf))].map(grouped).join(' | ');
  if (schema.allOf) return schema.allOf.map((one) => grouped(typeOf(one))).join(' & ');
  if (Array.isArray(schema.type))
    return schema.type.map((type) => grouped(typeOf({ ...schema, type }))).join(' | ');
  if (schema.type === 'array') {
    if (schema.prefixItems) return `[${schema.prefixItems.map(typeOf).join(', ')}]`;
    return `${grouped(typeOf(schema.items ?? {}))}[]`;
  }
  if (schema.type === 'object' || schema.properties) return objectType(schema);
  const plain: Record<string, string> = {
    string: 'string',
    integer: 'number',
    number: 'number',
    boolean: 'boolean',
    null: 'null',
  };
  return plain[schema.type ?? ''] ?? 'unknown';
}

function objectType({ properties, required = [], additionalProperties }: Schema): string {
  if (!properties || Object.keys(properties).length === 0) {
    const values = typeof additionalProperties === 'object' ? typeOf(additionalProperties) : 'unknown';
    return `Record<string, ${values}>`;
  }
  const fields = Object.entries(properties).map(
    ([name, schema]) => `${key(name)}${required.includes(name) ? '' : '?'}: ${typeOf(schema)}`,
  );
  return `{ ${fields.join('; ')} }`;
}

const key = (name: string) => (/^\w+$/.test(name) ? name : `'${name}'`);
const grouped = (type: string) => (/ [|&] /.test(type) && !/^[{[]/.test(type) ? `(${type})` : type);

const text = contractTypes(JSON.parse(await readFile(join(root, 'docs/openapi.json'), 'utf8')) as Document);
if (!process.argv.includes('--check')) {
  await writeFile(file, text);
} else if ((await readFile(file, 'utf8').catch(() => '')) !== text) {
  process.stderr.write('console/src/api/contract.gen.ts is stale: run "npm run openapi" and commit it.\n');
  process.exit(1);
}
