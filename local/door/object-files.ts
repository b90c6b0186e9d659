// Keeps the objects of fauxqs in files that leave as streams and are joined from parts on disk: as it is, fauxqs would hold
// each object in memory, and while its parts are joined twice.
import { createHash } from 'node:crypto';
import { appendFileSync, createReadStream, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { load, make } from './fauxqs.ts';

type Body = { length: number };
type Part = { partNumber: number; body: Body; etag: string; checksumValue?: string };
type Fields = { key: string; contentType: string; metadata: object; checksumAlgorithm?: string };
type StoredObject = Fields & {
  body: Body;
  contentLength: number;
  etag: string;
  lastModified: Date;
  parts?: object;
};
type MultipartUpload = Fields & { uploadId: string; bucket: string; parts: Map<number, Part> };
type PartName = { partNumber: number; etag: string };
type S3ErrorClass = new (code: string, message: string, status: number) => Error;
type Composite = (algorithm: string, checksums: string[]) => string;

type Persistence = {
  loadS3(store: ObjectStore): void;
  readBody(bucket: string, key: string): unknown;
  upsertObject(bucket: string, object: StoredObject): void;
  upsertMultipartPart(uploadId: string, part: Part): void;
  deleteMultipartUpload(uploadId: string): void;
};
export type ObjectStore = {
  persistence?: Persistence;
  buckets: Map<string, Map<string, StoredObject>>;
  multipartUploads: Map<string, MultipartUpload>;
  multipartUploadsByBucket: Map<string, Set<string>>;
  completeMultipartUpload(uploadId: string, names: PartName[]): StoredObject;
};

const read_bytes = 1024 * 1024;
const part_bytes_min = 5 * 1024 * 1024;
const nothing = Buffer.alloc(0);

export async function keepInFiles(store: ObjectStore, directory: string): Promise<void> {
  const persistence = await make<Persistence>('s3/fileS3Persistence.js', 'FileS3Persistence', directory);
  persistence.loadS3(store);
  persistence.readBody = (bucket, key) => {
    const { contentLength = 0 } = store.buckets.get(bucket)?.get(key) ?? {};
    return fileBody(objectFile(directory, bucket, key), 0, contentLength);
  };
  const writePart = persistence.upsertMultipartPart.bind(persistence);
  persistence.upsertMultipartPart = (uploadId, part) => {
    writePart(uploadId, part);
    forget(part);
  };
  for (const { parts } of store.multipartUploads.values()) for (const part of parts.values()) forget(part);
  store.persistence = persistence;
  await joinOnDisk(store, persistence, directory);
}

/** Its bytes are in a file now. */
function forget(part: Part): void {
  part.body = { length: part.body.length };
}

/** Replaces the joining of parts by fauxqs, which needs all of them in memory; the rules and the answers are the same. */
async function joinOnDisk(store: ObjectStore, persistence: Persistence, directory: string): Promise<void> {
  const { S3Error } = (await load('common/errors.js')) as { S3Error: S3ErrorClass };
  const { computeCompositeChecksum } = (await load('s3/checksum.js')) as {
    computeCompositeChecksum: Composite;
  };
  store.completeMultipartUpload = (uploadId, names) => {
    const upload = store.multipartUploads.get(uploadId);
    const objects = upload && store.buckets.get(upload.bucket);
    if (!upload || !objects) throw new S3Error('NoSuchUpload', 'The upload does not exist.', 404);
    const parts = namedParts(upload, names, S3Error);
    const { bucket, uploadId: _id, parts: _parts, ...fields } = upload;
    const checksums = parts.flatMap(({ checksumValue }) => checksumValue ?? []);
    const algorithm = checksums.length > 0 ? upload.checksumAlgorithm : undefined;
    const ends = parts.map((_part, i) => lengthOf(parts.slice(0, i + 1)));
    const object: StoredObject = {
      ...fields,
      body: nothing,
      contentLength: lengthOf(parts),
      etag: etagOf(parts),
      lastModified: new Date(),
      parts: parts.map(({ partNumber, body: { length } }, i) => ({
        partNumber,
        offset: (ends[i] ?? 0) - length,
        length,
      })),
      ...(algorithm && {
        checksumValue: computeCompositeChecksum(algorithm, checksums),
        checksumType: 'COMPOSITE',
        partChecksums: checksums,
      }),
    };
    const folder = join(directory, '_multipart', uploadId);
    const whole = join(folder, 'whole');
    rmSync(whole, { force: true }); // of an attempt that was cut off
    for (const { partNumber } of parts)
      appendFileSync(whole, readFileSync(join(folder, 'parts', `${partNumber}.data`)));
    persistence.upsertObject(bucket, object);
    renameSync(whole, objectFile(directory, bucket, upload.key));
    persistence.deleteMultipartUpload(uploadId);
    objects.set(upload.key, object);
    store.multipartUploads.delete(uploadId);
    store.multipartUploadsByBucket.get(bucket)?.delete(uploadId);
    return object;
  };
}

function namedParts(upload: MultipartUpload, names: PartName[], S3Error: S3ErrorClass): Part[] {
  const bare = (etag: string) => etag.replaceAll('"', '');
  const parts = names.map(({ partNumber, etag }) => {
    const part = upload.parts.get(partNumber);
    if (part && bare(part.etag) === bare(etag)) return part;
    throw new S3Error('InvalidPart', 'A part was not uploaded, or its entity tag is another.', 400);
  });
  if (parts.length === 0) throw new S3Error('MalformedXML', 'The list of parts is empty.', 400);
  if (parts.some(({ partNumber }, i) => i > 0 && partNumber <= (parts[i - 1]?.partNumber ?? 0)))
    throw new S3Error('InvalidPartOrder', 'The list of parts was not in ascending order.', 400);
  if (parts.slice(0, -1).some(({ body }) => body.length < part_bytes_min))
    throw new S3Error('EntityTooSmall', 'A part but the last is smaller than 5 MiB.', 400);
  return parts;
}

function etagOf(parts: Part[]): string {
  const digests = parts.map(({ etag }) => Buffer.from(etag.replaceAll('"', ''), 'hex'));
  return `"${createHash('md5').update(Buffer.concat(digests)).digest('hex')}-${parts.length}"`;
}

function lengthOf(parts: Part[]): number {
  return parts.reduce((sum, { body }) => sum + body.length, 0);
}

/** As fauxqs names it. */
function objectFile(directory: string, bucket: string, key: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they may stand in a key and not in a file's name
  const name = key.replace(/[<>:"|?*\\%\x00-\x1f]/g, (sign) => {
    return `%${sign.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
  return join(directory, 'buckets', bucket, 'objects', `${name}.data`);
}

/** A part of a file, with as much of a Buffer as fauxqs asks of a body; the file is opened when the first byte is read. */
function fileBody(path: string, start: number, end: number): Readable {
  const read = async function* () {
    yield* createReadStream(path, { start, end: end - 1, highWaterMark: read_bytes });
  };
  return Object.assign(Readable.from(read(), { objectMode: false }), {
    length: end - start,
    subarray: (from: number, to: number) => fileBody(path, start + from, start + to),
  });
}
