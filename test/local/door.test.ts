// Every AWS call of the local stack passes one door, which knows the service and the caller and loses nothing at restart.
import { GetItemCommand, ListTablesCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { ExecuteStatementCommand } from '@aws-sdk/client-rds-data';
import {
  DescribeSecretCommand,
  GetSecretValueCommand,
  PutSecretValueCommand,
} from '@aws-sdk/client-secrets-manager';
import {
  DeleteMessageCommand,
  GetQueueUrlCommand,
  ListQueuesCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
} from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Door, startDoor } from '../../local/door/door.ts';
import type { DoorCall, Fault } from '../../local/door/faults.ts';
import { queueArn, queueUrl } from '../../local/door/queues.ts';
import { awsClients, createQueue, createTable } from './aws-clients.ts';
import { masterSecret, secretArn, settingsFor, statement } from './open-door.ts';
import { MASTER_PASSWORD, openPostgres, sql } from './open-postgres.ts';

let postgres: Awaited<ReturnType<typeof openPostgres>>;
const settings = () => settingsFor(postgres.port);

beforeAll(async () => {
  postgres = await openPostgres();
  const master = postgres.superuserUrl.replace(/postgres:[0-9a-f]+@/, `kernel_master:${MASTER_PASSWORD}@`);
  await sql(master, 'CREATE TABLE noted (id serial, note text)');
});
afterAll(() => postgres?.remove());

describe('one door', () => {
  const calls: (DoorCall & { point: string })[] = [];
  /** What happens to the next call of an operation, at a point. */
  const planned = new Map<string, 'drop' | { error: string; status?: number }>();
  const fault: Fault = async (point, call) => {
    calls.push({ point, ...call });
    const key = `${point} ${call.operation}`;
    const outcome = planned.get(key) ?? 'ok';
    planned.delete(key);
    return outcome;
  };
  let door: Door;
  let aws: ReturnType<typeof awsClients>;
  let retrying: ReturnType<typeof awsClients>;
  beforeAll(async () => {
    door = await startDoor({ ...settings(), fault });
    aws = awsClients(door.url, 'AKIAINGEST');
    retrying = awsClients(door.url, 'AKIAINGEST', 3);
    await createTable(aws.dynamodb, 'counters', 'id');
  });
  afterAll(() => door?.close());

  const increment = (client = aws.dynamodb, id = 'a') =>
    client.send(
      new UpdateItemCommand({
        TableName: 'counters',
        Key: { id: { S: id } },
        UpdateExpression: 'ADD used :one',
        ExpressionAttributeValues: { ':one': { N: '1' } },
        ReturnValues: 'UPDATED_NEW',
      }),
    );
  const used = async (id: string) => {
    const { Item } = await aws.dynamodb.send(
      new GetItemCommand({ TableName: 'counters', Key: { id: { S: id } } }),
    );
    return Item?.used?.N;
  };
  const note = (text: string, client = aws.rdsData) =>
    client.send(
      new ExecuteStatementCommand({
        ...statement,
        sql: 'INSERT INTO noted (note) SELECT :note WHERE NOT EXISTS (SELECT 1 FROM noted WHERE note = :note)',
        parameters: [{ name: 'note', value: { stringValue: text } }],
      }),
    );
  const noted = (text: string) => sql(postgres.superuserUrl, `SELECT note FROM noted WHERE note = '${text}'`);

  test('DynamoDB counts exactly under concurrency', async () => {
    await Promise.all(Array.from({ length: 50 }, () => increment(aws.dynamodb, 'hot')));
    expect(await used('hot')).toBe('50');
  });

  test('a queue has a URL that leads back to the door, and moves bad messages to its dead-letter queue', async () => {
    await createQueue(aws.sqs, 'dead');
    const policy = { deadLetterTargetArn: queueArn('eu-central-1', 'dead'), maxReceiveCount: 1 };
    const QueueUrl = await createQueue(aws.sqs, 'work', { RedrivePolicy: JSON.stringify(policy) });
    expect(QueueUrl).toBe(`${door.url}/000000000000/work`);
    expect((await aws.sqs.send(new GetQueueUrlCommand({ QueueName: 'work' }))).QueueUrl).toBe(QueueUrl);
    await aws.sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: 'x' }));
    const receive = { QueueUrl, VisibilityTimeout: 0, WaitTimeSeconds: 0 };
    expect((await aws.sqs.send(new ReceiveMessageCommand(receive))).Messages?.[0]?.Body).toBe('x');
    expect((await aws.sqs.send(new ReceiveMessageCommand(receive))).Messages).toBeUndefined();
    const dead = await aws.sqs.send(new ReceiveMessageCommand({ QueueUrl: queueUrl(door.url, 'dead') }));
    expect(dead.Messages?.[0]?.Body).toBe('x');
  });

  test('a long poll wakes when a message arrives', async () => {
    const QueueUrl = await createQueue(aws.sqs, 'polled');
    const started = Date.now();
    const polling = aws.sqs.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 10 }));
    const Entries = [1, 2].map((n) => ({ Id: `${n}`, MessageBody: `${n}` }));
    await aws.sqs.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
    const [message] = (await polling).Messages ?? [];
    expect(Date.now() - started).toBeLessThan(2_000);
    await aws.sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: message?.ReceiptHandle }));
  });

  test('a queue that does not exist has its error', async () => {
    const send = new SendMessageCommand({ QueueUrl: queueUrl(door.url, 'nowhere'), MessageBody: 'x' });
    await expect(aws.sqs.send(send)).rejects.toMatchObject({ name: 'QueueDoesNotExist' });
  });

  test('a secret is read by its ARN or its name, and one that does not exist has its error', async () => {
    const byArn = await aws.secrets.send(new GetSecretValueCommand({ SecretId: secretArn }));
    const byName = await aws.secrets.send(new GetSecretValueCommand({ SecretId: 'kernel/master' }));
    expect(byName).toMatchObject({ ARN: secretArn, Name: 'kernel/master', SecretString: byArn.SecretString });
    const described = await aws.secrets.send(new DescribeSecretCommand({ SecretId: secretArn }));
    expect(described.VersionIdsToStages).toEqual({ [String(byArn.VersionId)]: ['AWSCURRENT'] });
    await expect(aws.secrets.send(new GetSecretValueCommand({ SecretId: 'none' }))).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
      $metadata: { httpStatusCode: 400 },
    });
  });

  test('a new value of a secret is the one that is read from then on, and a new version', async () => {
    door.addSecret('provider', 'old');
    const read = () => aws.secrets.send(new GetSecretValueCommand({ SecretId: 'provider' }));
    const { VersionId: before } = await read();
    const put = await aws.secrets.send(
      new PutSecretValueCommand({ SecretId: 'provider', SecretString: 'new' }),
    );
    expect(put).toMatchObject({ Name: 'provider', VersionStages: ['AWSCURRENT'] });
    expect(await read()).toMatchObject({ SecretString: 'new', VersionId: put.VersionId });
    expect(put.VersionId).not.toBe(before);
    await expect(aws.secrets.send(new PutSecretValueCommand({ SecretId: 'provider' }))).rejects.toMatchObject(
      { name: 'InvalidParameterException' },
    );
    await expect(
      aws.secrets.send(new PutSecretValueCommand({ SecretId: 'none', SecretString: 'x' })),
    ).rejects.toMatchObject({ name: 'ResourceNotFoundException' });
  });

  test('a secret added later can be used at once', async () => {
    door.addSecret('later', masterSecret);
    const call = new ExecuteStatementCommand({ ...statement, secretArn: 'later', sql: 'SELECT 1' });
    expect((await aws.rdsData.send(call)).records).toEqual([[{ longValue: 1 }]]);
  });

  test('an unknown access key is refused by every service, a key that is added is not', async () => {
    const stranger = awsClients(door.url, 'AKIASTRANGER');
    const refused = { name: 'UnrecognizedClientException', $metadata: { httpStatusCode: 403 } };
    await expect(stranger.dynamodb.send(new ListTablesCommand({}))).rejects.toMatchObject(refused);
    await expect(stranger.sqs.send(new ListQueuesCommand({}))).rejects.toMatchObject(refused);
    const read = new ExecuteStatementCommand({ ...statement, sql: 'SELECT 1' });
    await expect(stranger.rdsData.send(read)).rejects.toMatchObject(refused);
    await expect(
      stranger.secrets.send(new GetSecretValueCommand({ SecretId: secretArn })),
    ).rejects.toMatchObject(refused);
    door.addIdentity('AKIASTRANGER', 'friend');
    expect((await stranger.dynamodb.send(new ListTablesCommand({}))).TableNames).toEqual(['counters']);
  });

  test('a request without a signature is refused', async () => {
    const response = await fetch(door.url, { method: 'POST', body: '{}' });
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ __type: 'MissingAuthenticationTokenException' });
  });

  test('the fault seam sees who calls what', async () => {
    calls.length = 0;
    await increment(awsClients(door.url, 'AKIADELIVER').dynamodb, 'seen');
    await note('seen');
    expect(calls).toMatchObject(
      [
        { point: 'before', service: 'dynamodb', operation: 'UpdateItem', identity: 'deliver' },
        { point: 'after', service: 'dynamodb', operation: 'UpdateItem', identity: 'deliver' },
        { point: 'before', service: 'rds-data', operation: 'ExecuteStatement', identity: 'ingest' },
        {
          point: 'after',
          service: 'rds-data',
          operation: 'ExecuteStatement',
          identity: 'ingest',
          sql: /noted/,
        },
      ].map(({ sql: text, ...call }) => (text ? { ...call, sql: expect.stringMatching(text) } : call)),
    );
  });

  test('a reply that is lost after the commit leads to one row, for the SDK asks again', async () => {
    planned.set('after ExecuteStatement', 'drop');
    await expect(note('lost')).rejects.toThrow();
    expect(await noted('lost')).toHaveLength(1);
    planned.set('after ExecuteStatement', 'drop');
    const { $metadata, numberOfRecordsUpdated } = await note('resent', retrying.rdsData);
    expect([$metadata.attempts, numberOfRecordsUpdated]).toEqual([2, 0]);
    expect(await noted('resent')).toHaveLength(1);
  });

  test('a call that fails before it reaches the database has no effect', async () => {
    planned.set('before ExecuteStatement', { error: 'DatabaseResumingException' });
    await expect(note('never')).rejects.toMatchObject({ name: 'DatabaseResumingException' });
    planned.set('before ExecuteStatement', 'drop');
    await expect(note('never')).rejects.toThrow();
    expect(await noted('never')).toEqual([]);
  });

  test('the other services fail in the same ways', async () => {
    planned.set('before UpdateItem', { error: 'ProvisionedThroughputExceededException' });
    await expect(increment(aws.dynamodb, 'f')).rejects.toMatchObject({
      name: 'ProvisionedThroughputExceededException',
    });
    expect(await used('f')).toBeUndefined();
    planned.set('after UpdateItem', 'drop');
    await expect(increment(aws.dynamodb, 'f')).rejects.toThrow();
    expect(await used('f')).toBe('1');
    planned.set('after UpdateItem', { error: 'InternalServerError', status: 500 });
    await expect(increment(aws.dynamodb, 'f')).rejects.toMatchObject({ name: 'InternalServerError' });
    expect(await used('f')).toBe('2');

    const QueueUrl = await createQueue(aws.sqs, 'faulty');
    const send = new SendMessageCommand({ QueueUrl, MessageBody: 'x' });
    planned.set('before SendMessage', { error: 'ServiceUnavailable', status: 503 });
    await expect(aws.sqs.send(send)).rejects.toMatchObject({ $metadata: { httpStatusCode: 503 } });
    planned.set('after SendMessage', { error: 'ServiceUnavailable', status: 503 });
    await expect(aws.sqs.send(send)).rejects.toMatchObject({ $metadata: { httpStatusCode: 503 } });
    const received = await aws.sqs.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10 }));
    expect(received.Messages).toHaveLength(1);
  });
});

test('a caller that goes away while it sends does not harm the door', async () => {
  const door = await startDoor(settings());
  const controller = new AbortController();
  const body = new ReadableStream({
    start: (stream) => stream.enqueue(new TextEncoder().encode('{"TableName":')),
  });
  const headers = {
    authorization:
      'AWS4-HMAC-SHA256 Credential=AKIAINGEST/20260101/eu-central-1/dynamodb/aws4_request, SignedHeaders=h, Signature=s',
    'x-amz-target': 'DynamoDB_20120810.ListTables',
  };
  const init = { method: 'POST', body, headers, duplex: 'half', signal: controller.signal } as RequestInit;
  const gone = fetch(door.url, init);
  setTimeout(() => controller.abort(), 50);
  await expect(gone).rejects.toThrow();
  const { dynamodb } = awsClients(door.url, 'AKIAINGEST');
  expect((await dynamodb.send(new ListTablesCommand({}))).TableNames).toEqual([]);
  await door.close();
});
