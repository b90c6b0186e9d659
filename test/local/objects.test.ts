// Objects through the door by the ordinary SDK: any size, links that end, archives that are written once, and all of it kept.
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import {
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  GetObjectRetentionCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  PutObjectRetentionCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Door, type DoorSettings, startDoor } from '../../local/door/door.ts';
import type { DoorCall, Fault } from '../../local/door/faults.ts';
import { startDoorThread } from '../../local/door/thread.ts';
import { awsClients } from './aws-clients.ts';
import { settingsFor } from './open-door.ts';

const Bucket = 'exports';
const MiB = 1024 * 1024;
const chunk = randomBytes(MiB);
const large = { Bucket, Key: '2026-09/large file "ü".csv' };

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kernel-objects-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** No call of these tests reaches the database. */
const settings = (): DoorSettings => ({ ...settingsFor(1), objectDirectory: join(directory, 's3') });

describe('a door with objects', () => {
  const calls: (DoorCall & { point: string })[] = [];
  const planned = new Map<string, 'drop' | { error: string; status?: number }>();
  const fault: Fault = async (point, call) => {
    calls.push({ point, ...call });
    const key = `${point} ${call.operation}`;
    const outcome = planned.get(key) ?? 'ok';
    planned.delete(key);
    return outcome;
  };
  let door: Door;
  let s3: S3Client;
  beforeAll(async () => {
    door = await startDoor({ ...settings(), fault });
    s3 = awsClients(door.url, 'AKIAINGEST').s3;
    await s3.send(new CreateBucketCommand({ Bucket }));
  });
  afterAll(() => door?.close());

  const put = (Key: string, Body: string, more: object = {}) =>
    s3.send(new PutObjectCommand({ Bucket, Key, Body, ContentType: 'text/csv', ...more }));
  const text = async (Key: string) =>
    (await s3.send(new GetObjectCommand({ Bucket, Key }))).Body?.transformToString();

  test('gives back what was put, with its type, metadata and checksum', async () => {
    const { ETag, ChecksumCRC32 } = await put('a/b.csv', 'one,two\n', { Metadata: { rows: '1' } });
    expect(ChecksumCRC32).toBeDefined();
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'a/b.csv', ChecksumMode: 'ENABLED' }));
    expect(got).toMatchObject({ ETag, ChecksumCRC32, ContentType: 'text/csv', Metadata: { rows: '1' } });
    expect(await got.Body?.transformToString()).toBe('one,two\n');
    expect(await s3.send(new HeadObjectCommand({ Bucket, Key: 'a/b.csv' }))).toMatchObject({
      ContentLength: 8,
      ContentType: 'text/csv',
    });
    const listed = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'a/' }));
    expect(listed.Contents?.map(({ Key, Size }) => [Key, Size])).toEqual([['a/b.csv', 8]]);
    await expect(text('a/missing.csv')).rejects.toMatchObject({ name: 'NoSuchKey' });
    await put('a/empty.csv', '', { ContentLength: 0 });
    expect(await text('a/empty.csv')).toBe('');
  });

  test('takes a stream of unknown length in parts and gives it back as a stream, whole or a range', async () => {
    const count = 21;
    const Body = Readable.from(stream(count));
    await new Upload({ client: s3, params: { ...large, Body } }).done();
    const got = await s3.send(new GetObjectCommand(large));
    expect(got.ContentLength).toBe(count * MiB);
    const hash = createHash('sha256');
    for await (const piece of got.Body as Readable) hash.update(piece);
    expect(hash.digest('hex')).toBe(digest(count));
    const Range = `bytes=${MiB - 2}-${MiB + 1}`;
    const range = await s3.send(new GetObjectCommand({ ...large, Range }));
    expect(range.ContentRange).toBe(`bytes ${MiB - 2}-${MiB + 1}/${count * MiB}`);
    const expected = Buffer.concat([chunk.subarray(-2), chunk.subarray(0, 2)]);
    expect(await buffer(range.Body as Readable)).toEqual(expected);
    expect(await readdir(join(directory, 's3/_multipart'))).toEqual([]);
  });

  test('serves a link to whoever holds it, under the name that the link gives the file', async () => {
    await put('link.csv', 'x\n');
    const command = new GetObjectCommand({
      Bucket,
      Key: 'link.csv',
      ResponseContentDisposition: 'attachment; filename="dispute.csv"',
      ResponseContentType: 'text/csv; charset=utf-8',
    });
    const link = await getSignedUrl(s3, command, { expiresIn: 60 });
    expect(link.startsWith(`${door.url}/exports/link.csv?`)).toBe(true);
    const answer = await fetch(link);
    expect([answer.status, await answer.text()]).toEqual([200, 'x\n']);
    expect(answer.headers.get('content-disposition')).toBe('attachment; filename="dispute.csv"');
    expect(answer.headers.get('content-type')).toBe('text/csv; charset=utf-8');
    const whole = await fetch(await getSignedUrl(s3, new GetObjectCommand(large), { expiresIn: 60 }));
    expect((await whole.arrayBuffer()).byteLength).toBe(21 * MiB);
  });

  test('refuses a link whose time is over, which names no time, or whose key nobody holds', async () => {
    const command = new GetObjectCommand({ Bucket, Key: 'link.csv' });
    const signedBefore = (seconds: number) =>
      getSignedUrl(s3, command, { expiresIn: 60, signingDate: new Date(Date.now() - seconds * 1000) });
    expect((await fetch(await signedBefore(30))).status).toBe(200);
    const over = await fetch(await signedBefore(62));
    expect(over.status).toBe(403);
    expect(await over.text()).toContain('<Code>AccessDenied</Code><Message>Request has expired</Message>');
    const link = await signedBefore(0);
    expect((await fetch(link.replace(/X-Amz-Expires=\d+/, ''))).status).toBe(403);
    expect((await fetch(link.replace('AKIAINGEST', 'AKIANOBODY'))).status).toBe(403);
    expect((await fetch(link.replace(/\?.*/, ''))).status).toBe(403);
  });

  test('writes an archive once when asked to, and takes the headers of a lock', async () => {
    const until = { ObjectLockMode: 'COMPLIANCE', ObjectLockRetainUntilDate: new Date(Date.now() + 60_000) };
    await put('once.csv', 'first', { IfNoneMatch: '*', ...until });
    const again = put('once.csv', 'second', { IfNoneMatch: '*' });
    await expect(again).rejects.toMatchObject({ name: 'PreconditionFailed' });
    const params = { Bucket, Key: 'once.csv', Body: Readable.from(stream(6)), IfNoneMatch: '*' };
    await expect(new Upload({ client: s3, params }).done()).rejects.toMatchObject({
      name: 'PreconditionFailed',
    });
    expect(await text('once.csv')).toBe('first');
  });

  test('says what it cannot do instead of taking it for something else', async () => {
    const Retention = { Mode: 'COMPLIANCE', RetainUntilDate: new Date() } as const;
    const lock = new PutObjectRetentionCommand({ Bucket, Key: 'once.csv', Retention });
    await expect(s3.send(lock)).rejects.toMatchObject({ name: 'NotImplemented' });
    const read = new GetObjectRetentionCommand({ Bucket, Key: 'once.csv' });
    await expect(s3.send(read)).rejects.toMatchObject({ name: 'NotImplemented' });
    expect(await text('once.csv')).toBe('first');
  });

  test('injects faults by the name of the operation, also into what it streams', async () => {
    planned.set('before PutObject', { error: 'SlowDown', status: 503 });
    await expect(put('fault.csv', 'x')).rejects.toMatchObject({ name: 'SlowDown' });
    await expect(text('fault.csv')).rejects.toMatchObject({ name: 'NoSuchKey' });
    planned.set('after PutObject', 'drop');
    await expect(put('fault.csv', 'x')).rejects.toThrow();
    expect(await text('fault.csv')).toBe('x');
    planned.set('after GetObject', 'drop');
    await expect(text('fault.csv')).rejects.toThrow();
    planned.set('after GetObject', { error: 'InternalError', status: 500 });
    await expect(text('fault.csv')).rejects.toMatchObject({ name: 'InternalError' });
    expect(calls).toContainEqual({
      point: 'after',
      service: 's3',
      operation: 'GetObject',
      identity: 'ingest',
    });
  });
});

test('what was put is there after a restart, and an upload goes on where it was', async () => {
  const first = await startDoorThread(settings());
  const before = awsClients(first.url, 'AKIAINGEST').s3;
  await before.send(new CreateBucketCommand({ Bucket }));
  const Key = 'kept.csv';
  await before.send(new PutObjectCommand({ Bucket, Key, Body: 'still here', Metadata: { rows: '1' } }));
  const open = { Bucket, Key: 'open.csv' };
  const { UploadId } = await before.send(new CreateMultipartUploadCommand(open));
  const part = async (client: S3Client, PartNumber: number, Body: Buffer) => {
    const { ETag } = await client.send(new UploadPartCommand({ ...open, UploadId, PartNumber, Body }));
    return { PartNumber, ETag };
  };
  const complete = (client: S3Client, Parts: CompletedPart[]) =>
    client.send(new CompleteMultipartUploadCommand({ ...open, UploadId, MultipartUpload: { Parts } }));
  const Parts = [await part(before, 1, Buffer.concat([chunk, chunk, chunk, chunk, chunk]))];
  await first.close();

  const second = await startDoorThread(settings());
  const after = awsClients(second.url, 'AKIAINGEST').s3;
  await after.send(new CreateBucketCommand({ Bucket })); // as each start does
  const got = await after.send(new GetObjectCommand({ Bucket, Key }));
  expect(got.Metadata).toEqual({ rows: '1' });
  expect(await got.Body?.transformToString()).toBe('still here');
  const whole = createHash('sha256').update(
    await buffer((await after.send(new GetObjectCommand(large))).Body as Readable),
  );
  expect(whole.digest('hex')).toBe(digest(21));
  const small = [await part(after, 2, chunk), await part(after, 3, chunk)];
  await expect(complete(after, small)).rejects.toMatchObject({ name: 'EntityTooSmall' });
  const other = [{ PartNumber: 1, ETag: small[0]?.ETag }];
  await expect(complete(after, other)).rejects.toMatchObject({ name: 'InvalidPart' });
  await complete(after, [...Parts, ...small.slice(0, 1)]);
  const { Body } = await after.send(new GetObjectCommand(open));
  const hash = createHash('sha256').update(await buffer(Body as Readable));
  expect(hash.digest('hex')).toBe(digest(6));
  await second.close();
});

test('a door without a folder keeps its objects in memory', async () => {
  const { objectDirectory: _, ...inMemory } = settings();
  const door = await startDoor(inMemory);
  const { s3 } = awsClients(door.url, 'AKIAINGEST');
  await s3.send(new CreateBucketCommand({ Bucket }));
  const Body = Readable.from(stream(6));
  await new Upload({ client: s3, params: { ...large, Body } }).done();
  const got = await s3.send(new GetObjectCommand({ ...large, Range: 'bytes=0-3' }));
  expect(await buffer(got.Body as Readable)).toEqual(chunk.subarray(0, 4));
  await expect(s3.send(new HeadObjectCommand({ Bucket, Key: 'kept.csv' }))).rejects.toThrow();
  await door.close();
});

/** So many MiB, in pieces as they come from a database. */
async function* stream(count: number) {
  for (let i = 0; i < count; i++) yield chunk;
}

function digest(count: number): string {
  const hash = createHash('sha256');
  for (let i = 0; i < count; i++) hash.update(chunk);
  return hash.digest('hex');
}
