// What the door reads from a signed AWS request, and the error replies that each of the protocols knows.
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

export type Service = 'dynamodb' | 'sqs' | 'rds-data' | 'secretsmanager' | 's3';
export type Credential = {
  accessKeyId: string;
  service: string;
  /** When a presigned link ends, in milliseconds since 1970; a link without a readable end has ended. */
  expires_at?: number;
};

const CREDENTIAL = /^(?:AWS4-HMAC-SHA256 Credential=)?([^/,]+)\/\d{8}\/[^/,]+\/([^/,]+)\/aws4_request/;

/** From the header, or from the query of a presigned link. */
export function credentialOf(request: IncomingMessage): Credential | undefined {
  const { authorization } = request.headers;
  const query = queryOf(request);
  const signed = authorization ?? query.get('X-Amz-Credential') ?? '';
  const [, accessKeyId, service] = CREDENTIAL.exec(signed) ?? [];
  if (!accessKeyId || !service) return undefined;
  return { accessKeyId, service, ...(authorization === undefined && { expires_at: endOf(query) }) };
}

export function queryOf({ url = '' }: IncomingMessage): URLSearchParams {
  const mark = url.indexOf('?');
  return new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1));
}

function endOf(query: URLSearchParams): number {
  const signed_at = (query.get('X-Amz-Date') ?? '').replace(
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/,
    '$1-$2-$3T$4:$5:$6Z',
  );
  const end = Date.parse(signed_at) + Number(query.get('X-Amz-Expires') ?? Number.NaN) * 1000;
  return Number.isNaN(end) ? 0 : end;
}

const DATA_API: Record<string, string> = {
  '/Execute': 'ExecuteStatement',
  '/BatchExecute': 'BatchExecuteStatement',
};

export function operationOf(service: string, request: IncomingMessage): string {
  const path = request.url ?? '';
  if (service === 'rds-data') return DATA_API[path] ?? path.slice(1);
  // The SDK names most operations of S3 in the query; the others have their method only.
  if (service === 's3') return queryOf(request).get('x-id') ?? request.method ?? '';
  const target = String(request.headers['x-amz-target'] ?? '');
  return target.slice(target.indexOf('.') + 1);
}

const TYPE_PREFIX: Record<string, string> = {
  dynamodb: 'com.amazonaws.dynamodb.v20120810#',
  sqs: 'com.amazonaws.sqs#',
};

export function sendError(
  response: ServerResponse,
  service: string,
  error: { name: string; message: string; status: number },
): void {
  const rest = service === 'rds-data';
  const { name, message, status } = error;
  if (service === 's3') {
    response.writeHead(status, { 'content-type': 'application/xml' });
    response.end(
      `<?xml version="1.0"?><Error><Code>${name}</Code><Message>${escaped(message)}</Message></Error>`,
    );
    return;
  }
  const body = JSON.stringify(
    rest ? { message } : { __type: `${TYPE_PREFIX[service] ?? ''}${name}`, message },
  );
  response.writeHead(status, {
    'content-type': rest ? 'application/json' : 'application/x-amz-json-1.0',
    'content-length': Buffer.byteLength(body),
    'x-amzn-requestid': randomUUID(),
    ...(rest ? { 'x-amzn-errortype': name } : {}),
  });
  response.end(body);
}

function escaped(text: string): string {
  return text.replace(/[&<>]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

/** The whole body, or nothing when the caller went away before its end. */
export function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => resolve(Buffer.concat(chunks)));
    request.on('error', () => resolve(undefined));
    request.on('close', () => resolve(undefined));
  });
}
