// Objects over S3: uploads in parts from a stream, so that memory does not grow with the object.
import { Readable } from 'node:stream';
import { GetObjectCommand, NoSuchKey, S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { KernelError } from '../errors.ts';
import type { Objects } from '../ports.ts';

/** 10,000 parts are the most that an upload may have: enough for 80 GB. */
const part_bytes = 8 * 1024 * 1024;
const parts_at_once = 2;

export function s3(bucket: string): Objects {
  const client = new S3Client({
    maxAttempts: 3,
    requestHandler: { connectionTimeout: 1_000, requestTimeout: 60_000, throwOnRequestTimeout: true },
  });
  return {
    async write(key, content, { type }) {
      const upload = new Upload({
        client,
        partSize: part_bytes,
        queueSize: parts_at_once,
        params: { Bucket: bucket, Key: key, Body: Readable.from(content), ContentType: type },
      });
      await upload.done();
    },
    async read(key) {
      const { Body } = await client
        .send(new GetObjectCommand({ Bucket: bucket, Key: key }))
        .catch((cause: unknown) => {
          const sentence = cause instanceof NoSuchKey ? 'An object is missing.' : 'An object cannot be read.';
          throw new KernelError('internal', sentence, { cause });
        });
      return Body as Readable;
    },
    link: (key, seconds, filename) =>
      getSignedUrl(
        client,
        new GetObjectCommand({
          Bucket: bucket,
          Key: key,
          ResponseContentDisposition: `attachment; filename="${filename}"`,
        }),
        { expiresIn: seconds },
      ),
  };
}
