// S3 by fauxqs: answers by links that name the file, conditional writes, and a refusal of what fauxqs would misread.
//
// Not reproduced: Object Lock (its headers are taken and ignored), versions, copies, life cycles, encryption, tags, policies,
// checking a checksum on the way in, and more than 11 MiB in one call: larger objects come in parts of at most that size.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { queryOf, sendError } from './aws-request.ts';
import { type Fauxqs, make } from './fauxqs.ts';
import { keepInFiles, type ObjectStore } from './object-files.ts';

export type Objects = {
  /** What fauxqs keeps its objects in. */
  store: object;
  /** Answers the calls of S3, by the path of bucket and key, as soon as fauxqs is ready. */
  mount(app: Fauxqs): (request: IncomingMessage, response: ServerResponse) => void;
};

/** Parts of an object's or a bucket's interface that fauxqs would take for the object or the bucket itself. */
const unknown_resources = [
  ...[
    'acl',
    'cors',
    'encryption',
    'legal-hold',
    'notification',
    'object-lock',
    'policy',
    'publicAccessBlock',
  ],
  ...['replication', 'restore', 'retention', 'select', 'tagging', 'versionId', 'versioning', 'versions'],
];

/** In memory without a directory. */
export async function openObjects(directory: string | undefined): Promise<Objects> {
  const store = await make<ObjectStore>('s3/s3Store.js', 'S3Store');
  if (directory !== undefined) await keepInFiles(store, directory);
  return {
    store,
    mount(app) {
      app.addHook('onSend', (request, reply, _payload, done) => {
        if (reply.statusCode < 300) overrideHeaders(request.query as Record<string, unknown>, reply);
        // The routes of S3 send without waiting for the end: an answer that has not begun when they return, because it is a
        // stream or held back, would be sent once more, and empty.
        reply.hijack();
        done();
      });
      return (request, response) => {
        const refusal = refusalOf(request, store);
        if (!refusal) return app.routing(request, response);
        request.resume();
        sendError(response, 's3', refusal);
      };
    },
  };
}

/** `response-content-disposition` and its like, with which a link names the file that it downloads. */
function overrideHeaders(
  query: Record<string, unknown>,
  reply: { header(name: string, value: string): void },
): void {
  for (const [name, value] of Object.entries(query)) {
    const [, header] =
      /^response-(content-type|content-language|expires|cache-control|content-disposition|content-encoding)$/.exec(
        name,
      ) ?? [];
    if (header && typeof value === 'string') reply.header(header, value);
  }
}

function refusalOf(request: IncomingMessage, store: ObjectStore) {
  const query = queryOf(request);
  const resource = unknown_resources.find((name) => query.has(name));
  if (resource !== undefined || request.headers['x-amz-copy-source'] !== undefined) {
    const what = resource === undefined ? 'Copying an object' : `The resource "${resource}"`;
    return { status: 501, name: 'NotImplemented', message: `${what} is not available here.` };
  }
  const completes = request.method === 'POST' && query.has('uploadId');
  const writes = completes || (request.method === 'PUT' && !query.has('uploadId'));
  if (writes && request.headers['if-none-match'] === '*' && exists(request, store)) {
    const message = 'At least one of the pre-conditions you specified did not hold';
    return { status: 412, name: 'PreconditionFailed', message };
  }
  return undefined;
}

function exists({ url = '' }: IncomingMessage, store: ObjectStore): boolean {
  const [, bucket = '', key = ''] = /^\/([^/?]+)\/([^?]*)/.exec(url) ?? [];
  return store.buckets.get(bucket)?.has(decodeURIComponent(key)) ?? false;
}
