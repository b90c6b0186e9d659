// Which actions on which resources a call is, and the answer to a caller whose role does not allow one of them.
//
// A caller without a role is the operator and may do everything. Not reproduced: resource policies, KMS, permission boundaries,
// session policies, and that S3 tells a caller who may not list a bucket nothing about an object that is missing.
import type { IncomingMessage } from 'node:http';
import { type Grant, judge, type Role } from '../iam/policy.ts';
import { operationOf, queryOf, type Service } from './aws-request.ts';
import { ACCOUNT_ID } from './queues.ts';

export interface Denial extends Grant {
  /** The caller's name. */
  identity: string;
  message: string;
}

export interface Refusal {
  name: string;
  status: number;
  message: string;
  denial: Denial;
}

/** What is needed to name resources. */
export interface Place {
  region: string;
  /** The ARN of the secret that an id stands for. */
  secretArn(id: string): string;
}

const DENIED: Record<Service, { name: string; status: number }> = {
  dynamodb: { name: 'AccessDeniedException', status: 400 },
  secretsmanager: { name: 'AccessDeniedException', status: 400 },
  'rds-data': { name: 'AccessDeniedException', status: 403 },
  sqs: { name: 'AccessDenied', status: 403 },
  s3: { name: 'AccessDenied', status: 403 },
};

/** Undefined when the role allows all of it. */
export function refusalOf(
  service: Service,
  identity: string,
  role: Role,
  needs: readonly Grant[],
): Refusal | undefined {
  for (const { action, resource } of needs) {
    const verdict = judge(role.statements, { action, resource });
    if (verdict === 'allowed') continue;
    const shown = service === 'sqs' ? action.toLowerCase() : action; // as SQS itself writes it
    const why =
      verdict === 'denied'
        ? 'with an explicit deny in an identity-based policy'
        : `because no identity-based policy allows the ${shown} action`;
    const user = `arn:aws:sts::${ACCOUNT_ID}:assumed-role/${role.name}/${identity}`;
    const message = `User: ${user} is not authorized to perform: ${shown} on resource: ${resource} ${why}`;
    return { ...DENIED[service], message, denial: { identity, action, resource, message } };
  }
  return undefined;
}

/** Of a call whose body is read; those of the Data API are known to itself only. */
export function needsOf(service: Service, request: IncomingMessage, body: Buffer, place: Place): Grant[] {
  if (service === 's3') return [objectNeed(request)];
  const operation = operationOf(service, request);
  const call = parse(body);
  if (service === 'dynamodb')
    return tablesOf(call, place).map((resource) => ({ action: `dynamodb:${operation}`, resource }));
  if (service === 'sqs') return [{ action: queueAction(operation), resource: queueOf(call, place) }];
  return [{ action: `secretsmanager:${operation}`, resource: place.secretArn(String(call.SecretId ?? '')) }];
}

/** The Data API reads the secret on behalf of its caller, who must therefore be allowed to. */
export function dataApiNeeds(
  operation: string,
  { resourceArn = '', secretArn = '' }: { resourceArn?: string; secretArn?: string },
  place: Place,
): Grant[] {
  return [
    { action: `rds-data:${operation}`, resource: resourceArn },
    { action: 'secretsmanager:GetSecretValue', resource: place.secretArn(secretArn) },
  ];
}

type Call = Record<string, unknown>;

function parse(body: Buffer): Call {
  try {
    return JSON.parse(body.toString('utf8')) as Call;
  } catch {
    return {}; // it names nothing, and the service will say what is wrong with it
  }
}

/** Of a batch, each table that it names. */
function tablesOf(call: Call, { region }: Place): string[] {
  const tables = [call.TableName ?? [], Object.keys(call.RequestItems ?? {})].flat().map(String);
  const index = call.IndexName === undefined ? '' : `/index/${call.IndexName}`;
  if (tables.length === 0) return ['*'];
  return tables.map((name) =>
    name.startsWith('arn:')
      ? `${name}${index}`
      : `arn:aws:dynamodb:${region}:${ACCOUNT_ID}:table/${name}${index}`,
  );
}

/** A batch needs the action of its parts. */
function queueAction(operation: string): string {
  return `sqs:${operation.replace(/^(SendMessage|DeleteMessage|ChangeMessageVisibility)Batch$/, '$1')}`;
}

function queueOf({ QueueUrl, QueueName }: Call, { region }: Place): string {
  const name = QueueUrl === undefined ? QueueName : String(QueueUrl).split('/').at(-1);
  return name === undefined ? '*' : `arn:aws:sqs:${region}:${ACCOUNT_ID}:${name}`;
}

const OBJECT_ACTIONS: Record<string, string> = {
  GET: 's3:GetObject',
  HEAD: 's3:GetObject',
  PUT: 's3:PutObject', // parts of an upload too
  POST: 's3:PutObject', // its begin and its end
  DELETE: 's3:DeleteObject',
};
const BUCKET_ACTIONS: Record<string, string> = {
  GET: 's3:ListBucket',
  HEAD: 's3:ListBucket',
  PUT: 's3:CreateBucket',
  POST: 's3:DeleteObject', // of many at once
  DELETE: 's3:DeleteBucket',
};

function objectNeed(request: IncomingMessage): Grant {
  const { method = 'GET', url = '/' } = request;
  const [bucket = '', ...rest] = (url.split('?')[0] ?? '').slice(1).split('/').map(decoded);
  const key = rest.join('/');
  const ofUpload = queryOf(request).has('uploadId');
  if (bucket === '') return { action: 's3:ListAllMyBuckets', resource: '*' };
  if (key === '') {
    const objects = method === 'POST' ? '/*' : '';
    return { action: BUCKET_ACTIONS[method] ?? `s3:${method}`, resource: `arn:aws:s3:::${bucket}${objects}` };
  }
  const uploads: Record<string, string> = {
    DELETE: 's3:AbortMultipartUpload',
    GET: 's3:ListMultipartUploadParts',
  };
  const action = (ofUpload && uploads[method]) || (OBJECT_ACTIONS[method] ?? `s3:${method}`);
  return { action, resource: `arn:aws:s3:::${bucket}/${key}` };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
