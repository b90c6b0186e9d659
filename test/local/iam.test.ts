// A caller with a role does what its role allows, and is told of the rest as each AWS service tells it.
import { BatchGetItemCommand, GetItemCommand, ListTablesCommand } from '@aws-sdk/client-dynamodb';
import { ExecuteStatementCommand } from '@aws-sdk/client-rds-data';
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { GetSecretValueCommand } from '@aws-sdk/client-secrets-manager';
import { SendMessageBatchCommand, SendMessageCommand } from '@aws-sdk/client-sqs';
import { Upload } from '@aws-sdk/lib-storage';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Denial } from '../../local/door/authorization.ts';
import { type Door, startDoor } from '../../local/door/door.ts';
import type { Statement } from '../../local/iam/policy.ts';
import { awsClients, createQueue, createTable } from './aws-clients.ts';
import { secretArn, settingsFor, statement } from './open-door.ts';
import { openPostgres } from './open-postgres.ts';

describe('a caller with a role', () => {
  let postgres: Awaited<ReturnType<typeof openPostgres>>;
  let door: Door;
  const denials: Denial[] = [];
  let operator: ReturnType<typeof awsClients>;
  let caller: ReturnType<typeof awsClients>;
  beforeAll(async () => {
    postgres = await openPostgres();
    door = await startDoor({ ...settingsFor(postgres.port), onDenied: (denial) => denials.push(denial) });
    operator = awsClients(door.url, 'AKIADELIVER');
    caller = awsClients(door.url, 'AKIAINGEST');
    for (const table of ['counters', 'others']) await createTable(operator.dynamodb, table, 'id');
    await createQueue(operator.sqs, 'work');
    await operator.s3.send(new CreateBucketCommand({ Bucket: 'files' }));
    await operator.s3.send(new PutObjectCommand({ Bucket: 'files', Key: 'a b.csv', Body: 'x' }));
  });
  afterAll(async () => {
    await door?.close();
    await postgres?.remove();
  });

  const may = (...statements: Statement[]) =>
    door.addIdentity('AKIAINGEST', 'ingest', { name: 'IngestRole', statements });
  const allow = (Action: string | string[], Resource: string | string[]): Statement => ({
    Effect: 'Allow',
    Action,
    Resource,
  });
  const here = 'eu-central-1:000000000000';
  const queue = `arn:aws:sqs:${here}:work`;
  const table = (name: string) => `arn:aws:dynamodb:${here}:table/${name}`;
  const item = { TableName: 'counters', Key: { id: { S: 'a' } } };
  const both = {
    RequestItems: { counters: { Keys: [{ id: { S: 'a' } }] }, others: { Keys: [{ id: { S: 'a' } }] } },
  };
  const QueueUrl = () => `${door.url}/000000000000/work`;
  const sentence = (action: string, resource: string) =>
    `User: arn:aws:sts::000000000000:assumed-role/IngestRole/ingest is not authorized to perform: ${action} on resource: ${resource} because no identity-based policy allows the ${action} action`;

  type Clients = ReturnType<typeof awsClients>;
  const object = 'arn:aws:s3:::files/a b.csv';
  const get = { Bucket: 'files', Key: 'a b.csv' };
  test.each<[string, string, string, string, number, (aws: Clients) => Promise<unknown>]>([
    [
      'dynamodb:GetItem',
      table('counters'),
      'dynamodb:GetItem',
      'AccessDeniedException',
      400,
      (aws) => aws.dynamodb.send(new GetItemCommand(item)),
    ],
    [
      'dynamodb:ListTables',
      '*',
      'dynamodb:ListTables',
      'AccessDeniedException',
      400,
      (aws) => aws.dynamodb.send(new ListTablesCommand({})),
    ],
    [
      'sqs:SendMessage',
      queue,
      'sqs:sendmessage',
      'AccessDenied',
      403,
      (aws) => aws.sqs.send(new SendMessageCommand({ QueueUrl: QueueUrl(), MessageBody: 'x' })),
    ],
    [
      'sqs:SendMessage',
      queue,
      'sqs:sendmessage',
      'AccessDenied',
      403,
      (aws) =>
        aws.sqs.send(
          new SendMessageBatchCommand({ QueueUrl: QueueUrl(), Entries: [{ Id: '1', MessageBody: 'x' }] }),
        ),
    ],
    [
      'secretsmanager:GetSecretValue',
      secretArn,
      'secretsmanager:GetSecretValue',
      'AccessDeniedException',
      400,
      (aws) => aws.secrets.send(new GetSecretValueCommand({ SecretId: 'kernel/master' })),
    ],
    [
      's3:GetObject',
      object,
      's3:GetObject',
      'AccessDenied',
      403,
      (aws) => aws.s3.send(new GetObjectCommand(get)),
    ],
    [
      's3:PutObject',
      object,
      's3:PutObject',
      'AccessDenied',
      403,
      (aws) => aws.s3.send(new PutObjectCommand({ ...get, Body: 'x' })),
    ],
    [
      's3:ListBucket',
      'arn:aws:s3:::files',
      's3:ListBucket',
      'AccessDenied',
      403,
      (aws) => aws.s3.send(new ListObjectsV2Command({ Bucket: 'files' })),
    ],
  ])('does %s on %s only when it is allowed', async (action, resource, shown, name, httpStatusCode, call) => {
    denials.length = 0;
    may(allow('other:*', '*'));
    await expect(call(caller)).rejects.toMatchObject({
      name,
      message: sentence(shown, resource),
      $metadata: { httpStatusCode },
    });
    expect(denials).toEqual([{ identity: 'ingest', action, resource, message: sentence(shown, resource) }]);
    may(allow(action, resource));
    await call(caller);
    may();
    await call(operator); // whose key has no role
    expect(denials).toHaveLength(1);
  });

  test('calls the ledger only when it may use the Data API and read the secret', async () => {
    const call = () => caller.rdsData.send(new ExecuteStatementCommand({ ...statement, sql: 'SELECT 1' }));
    const execute = allow('rds-data:ExecuteStatement', statement.resourceArn);
    const read = allow('secretsmanager:GetSecretValue', secretArn);
    const refused = (action: string, resource: string) => ({
      name: 'AccessDeniedException',
      message: sentence(action, resource),
      $metadata: { httpStatusCode: 403 },
    });
    may(read);
    await expect(call()).rejects.toMatchObject(refused('rds-data:ExecuteStatement', statement.resourceArn));
    may(execute);
    await expect(call()).rejects.toMatchObject(refused('secretsmanager:GetSecretValue', secretArn));
    may(execute, read);
    expect((await call()).records).toEqual([[{ longValue: 1 }]]);
  });

  test('is told of an explicit deny, which no other statement undoes', async () => {
    may(allow('*', '*'), { Effect: 'Deny', Action: 'dynamodb:Get*', Resource: table('*') });
    await expect(caller.dynamodb.send(new GetItemCommand(item))).rejects.toThrow(
      /on resource: \S+ with an explicit deny in an identity-based policy$/,
    );
    await caller.dynamodb.send(new ListTablesCommand({}));
  });

  test('needs every table of a batch', async () => {
    may(allow('dynamodb:BatchGetItem', table('counters')));
    await expect(caller.dynamodb.send(new BatchGetItemCommand(both))).rejects.toThrow(
      sentence('dynamodb:BatchGetItem', table('others')),
    );
    may(allow('dynamodb:BatchGetItem', [table('counters'), table('others')]));
    await caller.dynamodb.send(new BatchGetItemCommand(both));
  });

  test('uploads in parts by the right to put, and gives up by one of its own', async () => {
    const upload = () =>
      new Upload({
        client: caller.s3,
        params: { Bucket: 'files', Key: 'parts', Body: Buffer.alloc(6 * 1024 * 1024) },
      });
    may(allow('s3:PutObject', 'arn:aws:s3:::files/parts'));
    await upload().done();
    denials.length = 0;
    may(allow('s3:PutObject', 'arn:aws:s3:::files/other'));
    await expect(upload().done()).rejects.toThrow(sentence('s3:PutObject', 'arn:aws:s3:::files/parts'));
    expect(denials.map(({ action }) => action)).toEqual(['s3:PutObject']);
  });

  test('signs links that can do what it may itself, when they are used', async () => {
    const link = await getSignedUrl(caller.s3, new GetObjectCommand(get), { expiresIn: 60 });
    may(allow('s3:GetObject', 'arn:aws:s3:::files/*'));
    expect((await fetch(link)).status).toBe(200);
    may();
    const refused = await fetch(link);
    expect([refused.status, await refused.text()]).toEqual([
      403,
      expect.stringContaining(`<Code>AccessDenied</Code><Message>${sentence('s3:GetObject', object)}`),
    ]);
  });
});
