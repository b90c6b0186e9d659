// How an operation of the HTTP contract is written down, and how OpenAPI shows it: one object says everything about one call.
import * as z from 'zod';
import type {
  ZodOpenApiOperationObject,
  ZodOpenApiPathsObject,
  ZodOpenApiResponseObject,
  ZodOpenApiResponsesObject,
} from 'zod-openapi';
import { type ErrorCode, errorStatus } from './errors.ts';

export const methods = ['get', 'post', 'put', 'delete', 'options'] as const;

/** Who may call: `token` is a JWT, `cron` the cron secret, `site` a registered origin or an API key. */
export type Caller = 'anyone' | 'token' | 'cron' | 'cron or token' | 'site';

/** One answer of a status; an operation may give several bodies for one status. */
export interface Reply {
  status: number;
  description: string;
  body: z.ZodType;
  /** `application/json` unless said otherwise. */
  type?: string;
  /** Beside those of every answer. */
  headers?: Record<string, z.ZodType>;
}

export interface Operation {
  id: string;
  method: (typeof methods)[number];
  path: string;
  tag:
    | 'events'
    | 'sites'
    | 'administration'
    | 'money'
    | 'finance'
    | 'books'
    | 'payments'
    | 'assurance'
    | 'jobs'
    | 'system';
  summary: string;
  description: string;
  caller: Caller;
  parameters?: { path?: z.ZodObject; query?: z.ZodObject; header?: z.ZodObject };
  /** By media type. */
  body?: Record<string, z.ZodType>;
  /** Whether no body says the same as an empty object. */
  mayBeEmpty?: true;
  replies: Reply[];
  /** Codes of refusals beside those that its caller and the ledger bring along. */
  errors: ErrorCode[];
  /** On every refusal. */
  refusalHeaders?: Record<string, z.ZodType>;
  /** Whether it is answered from the ledger, which may be away. */
  ledger?: false;
}

const securities: Record<Caller, Record<string, string[]>[]> = {
  anyone: [],
  token: [{ bearerToken: [] }],
  cron: [{ cronSecret: [] }],
  'cron or token': [{ cronSecret: [] }, { bearerToken: [] }],
  site: [{ siteOrigin: [] }, { apiKey: [] }, { apiKeyBearer: [] }],
};
const callerErrors: Record<Caller, ErrorCode[]> = {
  anyone: [],
  token: ['not_authenticated', 'forbidden'],
  cron: ['CRON_FORBIDDEN'],
  'cron or token': ['not_authenticated', 'forbidden', 'CRON_FORBIDDEN'],
  site: ['origin_not_allowed', 'api_key_invalid'],
};

export const requestId = z.string().regex(/^[\w.:-]{1,128}$/);

const header = (id: string, description: string) => z.string().meta({ description, header: { id } });
/** On every answer of a function. */
export const everyHeader = {
  'x-request-id': header(
    'RequestId',
    'The caller’s x-request-id where it is well formed, else a new one; it follows an event to its delivered row.',
  ),
  'x-opsmantik-commit': header('Commit', 'The commit that answered.'),
  'x-opsmantik-branch': header('Branch', 'Its branch.'),
  'x-opsmantik-version': header('Version', 'The version of the kernel.'),
};

export const errorBody = z
  .strictObject({
    ok: z.literal(false),
    error: z.string().meta({ description: 'One sentence for a person.' }),
    code: z.enum(Object.keys(errorStatus) as ErrorCode[]),
    request_id: requestId,
  })
  .meta({ id: 'Error', description: 'A refusal. Programs go by the code, which is one of a closed list.' });

/** Every code that the operation may be refused with. */
export function codesOf({ caller, errors, ledger }: Operation): ErrorCode[] {
  const ledgerErrors: ErrorCode[] = ledger === false || caller === 'site' ? [] : ['ledger_unavailable'];
  const unexpected: ErrorCode[] = caller === 'site' ? [] : ['internal'];
  return [...new Set([...errors, ...callerErrors[caller], ...ledgerErrors, ...unexpected])];
}

/** Replies and refusals of the operation, each status with every body that it may have. */
export function repliesOf(operation: Operation): Reply[] {
  const headers = operation.refusalHeaders;
  const byStatus = Map.groupBy(codesOf(operation), (code) => errorStatus[code]);
  const refusals = [...byStatus].map(([status, codes]): Reply => {
    const description = `Refused: ${codes.map((code) => `\`${code}\``).join(', ')}.`;
    return { status, description, body: errorBody, ...(headers && { headers }) };
  });
  return [...operation.replies, ...refusals];
}

export function toPaths(operations: Operation[]): ZodOpenApiPathsObject {
  const paths: Record<string, Record<string, ZodOpenApiOperationObject>> = {};
  for (const operation of operations) {
    const item = paths[operation.path] ?? {};
    paths[operation.path] = item;
    if (item[operation.method])
      throw new Error(`${operation.method} ${operation.path} is written down twice.`);
    item[operation.method] = toOperation(operation);
  }
  return paths as ZodOpenApiPathsObject;
}

function toOperation(operation: Operation): ZodOpenApiOperationObject {
  const { id, tag, summary, description, caller, parameters, body, mayBeEmpty } = operation;
  return {
    operationId: id,
    tags: [tag],
    summary,
    description,
    security: securities[caller],
    ...(parameters && { requestParams: parameters }),
    ...(body && {
      requestBody: {
        required: !mayBeEmpty,
        content: Object.fromEntries(Object.entries(body).map(([type, schema]) => [type, { schema }])),
      },
    }),
    responses: toResponses(repliesOf(operation)),
  } as ZodOpenApiOperationObject;
}

function toResponses(replies: Reply[]): ZodOpenApiResponsesObject {
  const byStatus = [...Map.groupBy(replies, ({ status }) => status)].sort(([a], [b]) => a - b);
  return Object.fromEntries(
    byStatus.map(([status, group]) => [String(status), sharedRefusal(group) ?? toResponse(group)]),
  );
}

const shared = new Map<string, ZodOpenApiResponseObject>();
/** A refusal with one code looks the same everywhere, so it is written once, under the name of its code. */
function sharedRefusal([reply, ...others]: Reply[]): ZodOpenApiResponseObject | undefined {
  const code = /^Refused: `(\w+)`\.$/.exec(reply?.description ?? '')?.[1];
  if (!reply || !code || others.length > 0 || reply.headers) return undefined;
  const id = code.toLowerCase().replace(/(^|_)(\w)/g, (_, __, letter: string) => letter.toUpperCase());
  const response = shared.get(id) ?? { ...toResponse([reply]), id };
  shared.set(id, response);
  return response;
}

function toResponse(replies: Reply[]): ZodOpenApiResponseObject {
  const byType = Map.groupBy(replies, ({ type = 'application/json' }) => type);
  const content = [...byType].map(([type, group]) => {
    const bodies = [...new Set(group.map(({ body }) => body))];
    return [type, { schema: bodies.length === 1 ? bodies[0] : z.union(bodies) }];
  });
  const headers = replies.map((reply) => reply.headers ?? {});
  const own: Record<string, z.ZodType> = Object.assign({}, ...headers);
  const missing = (name: string) => headers.some((some) => !(name in some));
  return {
    description: replies.map(({ description }) => description).join(' '),
    headers: z.object({
      ...everyHeader,
      ...Object.fromEntries(
        Object.entries(own).map(([name, schema]) => [
          name,
          missing(name) && !isOptional(schema) ? schema.optional() : schema,
        ]),
      ),
    }),
    content: Object.fromEntries(content),
  };
}

export function isOptional(schema: z.ZodType): boolean {
  return schema.safeParse(undefined).success;
}
