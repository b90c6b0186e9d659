// The door in a thread of its own is the same door, and what it keeps on disk is there after a restart.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ListTablesCommand } from '@aws-sdk/client-dynamodb';
import { ExecuteStatementCommand } from '@aws-sdk/client-rds-data';
import { ReceiveMessageCommand, SendMessageCommand } from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { queueUrl } from '../../local/door/queues.ts';
import { startDoorThread } from '../../local/door/thread.ts';
import { awsClients, createQueue, createTable } from './aws-clients.ts';
import { masterSecret, settingsFor, statement } from './open-door.ts';
import { openPostgres } from './open-postgres.ts';

let postgres: Awaited<ReturnType<typeof openPostgres>>;
const settings = () => settingsFor(postgres.port);

beforeAll(async () => {
  postgres = await openPostgres();
});
afterAll(() => postgres?.remove());

describe('a door in its own thread', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'revenue-kernel-test-'));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));
  const stored = () => ({
    ...settings(),
    dynamodbDirectory: join(directory, 'dynamodb'),
    queueDirectory: join(directory, 'sqs'),
  });

  test('keeps tables, queues and messages over a restart, under the new address', async () => {
    const first = await startDoorThread(stored());
    const before = awsClients(first.url, 'AKIAINGEST');
    await createTable(before.dynamodb, 'counters', 'id');
    const QueueUrl = await createQueue(before.sqs, 'kept');
    await before.sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: 'still here' }));
    await first.close();

    const second = await startDoorThread(stored());
    const after = awsClients(second.url, 'AKIAINGEST');
    expect((await after.dynamodb.send(new ListTablesCommand({}))).TableNames).toEqual(['counters']);
    expect(await createQueue(after.sqs, 'kept')).toBe(queueUrl(second.url, 'kept'));
    const received = await after.sqs.send(
      new ReceiveMessageCommand({ QueueUrl: queueUrl(second.url, 'kept') }),
    );
    expect(received.Messages?.[0]?.Body).toBe('still here');
    await second.close();
  });

  test('learns callers and secrets by messages, and takes its faults from a module', async () => {
    const remaining = new Int32Array(new SharedArrayBuffer(4));
    const module = new URL('./door-fault.ts', import.meta.url).href;
    const options = { operation: 'ExecuteStatement', point: 'after', remaining };
    const door = await startDoorThread({ ...settings(), fault: { module, options } });
    await door.addIdentity('AKIANEW', 'newcomer');
    await door.addSecret('new', masterSecret);
    const read = new ExecuteStatementCommand({
      ...statement,
      secretArn: 'new',
      sql: 'SELECT current_user::text',
    });
    Atomics.store(remaining, 0, 1);
    const newcomer = await awsClients(door.url, 'AKIANEW').rdsData.send(read);
    expect(newcomer.records).toEqual([[{ stringValue: 'kernel_master' }]]);
    const { rdsData } = awsClients(door.url, 'AKIAINGEST');
    await expect(rdsData.send(read)).rejects.toThrow();
    expect((await rdsData.send(read)).records).toHaveLength(1);
    await door.close();
    await door.exited;
  });

  test('reports that it cannot start', async () => {
    const door = startDoorThread({ ...settings(), port: postgres.port });
    await expect(door).rejects.toThrow(/EADDRINUSE/);
  });
});
