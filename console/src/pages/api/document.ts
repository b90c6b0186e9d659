// The parts of an OpenAPI document that the reference shows, and a call of an operation as curl.

export interface Schema {
  $ref?: string;
  type?: string | string[];
  const?: unknown;
  enum?: readonly unknown[];
  anyOf?: readonly Schema[];
  oneOf?: readonly Schema[];
  allOf?: readonly Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: readonly string[];
  additionalProperties?: Schema | boolean;
  description?: string;
  pattern?: string;
  format?: string;
  default?: unknown;
  example?: unknown;
  minimum?: number;
  maximum?: number;
}
export interface Parameter {
  $ref?: string;
  name: string;
  in: 'path' | 'query' | 'header';
  required?: boolean;
  description?: string;
  schema?: Schema;
}
interface Content {
  $ref?: string;
  description?: string;
  content?: Record<string, { schema?: Schema }>;
  headers?: Record<string, { $ref?: string; description?: string; schema?: Schema }>;
}
export interface Described {
  operationId: string;
  tags?: readonly string[];
  summary: string;
  description?: string;
  security?: readonly Record<string, unknown>[];
  parameters?: readonly Parameter[];
  requestBody?: Content;
  responses: Record<string, Content>;
}
export interface Document {
  info: { title: string; version: string };
  tags?: readonly { name: string; description?: string }[];
  paths: Record<string, Record<string, Described>>;
  components: Record<string, Record<string, unknown>>;
}
export interface Operation extends Described {
  method: string;
  path: string;
}

export function operationsOf({ paths }: Document): Operation[] {
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, described]) => ({ ...described, method: method.toUpperCase(), path })),
  );
}

/** What a `$ref` stands for, and its name; the thing itself where it is none. */
export function resolve<Thing extends { $ref?: string }>(
  document: Document,
  thing: Thing,
): { name?: string; of: Thing } {
  if (!thing.$ref) return { of: thing };
  const [, , kind = '', name = ''] = thing.$ref.split('/');
  return { name, of: (document.components[kind]?.[name] ?? {}) as Thing };
}

/** Everything about an operation in which a search looks. */
export function textOf({ method, path, operationId, summary, description, responses }: Operation): string {
  const said = Object.values(responses).map((reply) => reply.description ?? '');
  return [method, path, operationId, summary, description, ...said].join(' ').toLowerCase();
}

export function schemesOf({ security }: Operation): string[] {
  return (security ?? []).flatMap((one) => Object.keys(one));
}

const headers_of: Record<string, string> = {
  bearerToken: 'Authorization: Bearer $TOKEN',
  cronSecret: 'Authorization: Bearer $CRON_SECRET',
  apiKey: 'X-Api-Key: $API_KEY',
};

/** The operation as a command of a shell, with its path parameters in capitals and a body of what is required. */
export function curlOf(document: Document, operation: Operation, origin: string): string {
  const parameters = (operation.parameters ?? []).map((one) => resolve(document, one).of);
  const path = operation.path.replace(/\{(\w+)\}/g, (_, name: string) => name.toUpperCase());
  const query = parameters
    .filter((one) => one.in === 'query' && one.required)
    .map(({ name }) => `${name}=${name.toUpperCase()}`)
    .join('&');
  const scheme = ['bearerToken', 'cronSecret', 'apiKey'].find((one) => schemesOf(operation).includes(one));
  const body = operation.requestBody?.content?.['application/json']?.schema;
  const headers = [
    scheme && `"${headers_of[scheme]}"`,
    ...parameters
      .filter((one) => one.in === 'header' && one.required)
      .map(({ name }) => (name === 'idempotency-key' ? `"${name}: $(uuidgen)"` : `'${name}: VALUE'`)),
    body && `'Content-Type: application/json'`,
  ].filter(Boolean);
  return [
    `curl --request ${operation.method} '${origin}${path}${query && `?${query}`}'`,
    ...headers.map((header) => `--header ${header}`),
    ...(body ? [`--data '${JSON.stringify(exampleOf(document, body)).replaceAll("'", `'\\''`)}'`] : []),
  ].join(' \\\n  ');
}

const examples: Record<string, string> = {
  date: '2026-01-31',
  'date-time': '2026-01-31T00:00:00Z',
  uuid: '00000000-0000-4000-8000-000000000000',
  uri: 'https://example.com/',
};

/** A value of the schema with what it requires. */
export function exampleOf(document: Document, schema: Schema, depth = 0): unknown {
  const { of } = resolve(document, schema);
  if (of.example !== undefined) return of.example;
  if (of.const !== undefined) return of.const;
  if (of.default !== undefined) return of.default;
  if (of.enum) return of.enum[0];
  const choice = of.anyOf?.[0] ?? of.oneOf?.[0] ?? of.allOf?.[0];
  if (choice) return exampleOf(document, choice, depth + 1);
  const type = Array.isArray(of.type) ? of.type[0] : of.type;
  if (type === 'object' || of.properties) {
    const required = Object.entries(of.properties ?? {}).filter(([name]) => of.required?.includes(name));
    if (depth > 4) return {};
    return Object.fromEntries(required.map(([name, one]) => [name, exampleOf(document, one, depth + 1)]));
  }
  if (type === 'array') return of.items ? [exampleOf(document, of.items, depth + 1)] : [];
  if (type === 'boolean') return false;
  if (type === 'integer' || type === 'number') return of.minimum ?? 1;
  return examples[of.format ?? ''] ?? 'TEXT';
}
