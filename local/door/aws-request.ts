// What the door reads from a signed AWS request, and the error replies that each of the protocols knows.
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

export type Service = 'dynamodb' | 'sqs' | 'rds-data' | 'secretsmanager' | 's3';
export type Credential = { accessKeyId: string; service: string };

const CREDENTIAL = /^(?:AWS4-HMAC-SHA256 Credential=)?([^/,]+)\/\d{8}\/[^/,]+\/([^/,]+)\/aws4_request/;

export function credentialOf(request: IncomingMessage): Credential | undefined {
  const signed = request.headers.authorization ?? presigned(request.url ?? '/');
  const [, accessKeyId, service] = CREDENTIAL.exec(signed) ?? [];
  return accessKeyId && service ? { accessKeyId, service } : undefined;
}

/** The credential of a presigned URL stands in its query. */
function presigned(url: string): string {
  return new URLSearchParams(url.slice(url.indexOf('?') + 1)).get('X-Amz-Credential') ?? '';
}

const DATA_API: Record<string, string> = {
  '/Execute': 'ExecuteStatement',
  '/BatchExecute': 'BatchExecuteStatement',
};

export function operationOf(service: string, request: IncomingMessage): string {
  const path = request.url ?? '';
  if (service === 'rds-data') return DATA_API[path] ?? path.slice(1);
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
    response.end(`<?xml version="1.0"?><Error><Code>${name}</Code><Message>${message}</Message></Error>`);
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
