// The part of Secrets Manager that functions use, reading the current version of a secret by ARN or by name, and putting a new one,
// as an operator does who has a provider's own secret.
//
// Not reproduced: versions and stages, rotation, binary secrets, resource policies, KMS, deletion with a window.
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { operationOf, sendError } from './aws-request.ts';

export type Secrets = {
  handle(request: IncomingMessage, response: ServerResponse, body: Buffer): void;
  /** The ARN of the secret that an id stands for: an ARN, one without its end, or a name. */
  arnOf(id: string): string | undefined;
  /** The string of the secret, for the services that read it on behalf of a caller. */
  find(id: string): string | undefined;
};

/** The store maps the ARN of each secret, or just its name, to its string; it may change at any time. */
export function createSecrets(store: Map<string, string>): Secrets {
  const started = Date.now() / 1000;

  const keyOf = (id: string): string | undefined =>
    store.has(id) ? id : [...store.keys()].find((key) => nameOf(key) === nameOf(id));

  const describe = (key: string, value: string) => {
    // A new value is a new version, so that a caller that caches by version notices.
    const hash = createHash('sha256').update(key).update(value).digest('hex');
    const version = hash.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5');
    return { ARN: key, Name: nameOf(key), CreatedDate: started, version };
  };

  return {
    handle(request, response, body) {
      const operation = operationOf('secretsmanager', request);
      const reply = replies[operation];
      if (!reply) return fail(response, 'UnknownOperationException', `${operation} is not available here.`);
      const { SecretId: id, SecretString: fresh } = textsOf(body);
      if (!id) return fail(response, 'InvalidParameterException', 'You must provide SecretId.');
      const key = keyOf(id);
      const before = key === undefined ? undefined : store.get(key);
      if (key === undefined || before === undefined) {
        return fail(
          response,
          'ResourceNotFoundException',
          "Secrets Manager can't find the specified secret.",
        );
      }
      const puts = operation === 'PutSecretValue';
      if (puts && fresh === undefined)
        return fail(response, 'InvalidParameterException', 'You must provide SecretString.');
      const value = puts && fresh !== undefined ? fresh : before;
      store.set(key, value);
      const { version, ...description } = describe(key, value);
      const text = JSON.stringify({ ...description, ...reply(version, value) });
      response.writeHead(200, {
        'content-type': 'application/x-amz-json-1.1',
        'content-length': Buffer.byteLength(text),
      });
      response.end(text);
    },
    arnOf: keyOf,
    find(id) {
      const key = keyOf(id);
      return key === undefined ? undefined : store.get(key);
    },
  };
}

const replies: Record<string, (version: string, value: string) => Record<string, unknown>> = {
  GetSecretValue: (version, value) => ({
    SecretString: value,
    VersionId: version,
    VersionStages: ['AWSCURRENT'],
  }),
  PutSecretValue: (version) => ({ VersionId: version, VersionStages: ['AWSCURRENT'] }),
  DescribeSecret: (version) => ({ VersionIdsToStages: { [version]: ['AWSCURRENT'] } }),
};

/** An ARN ends with the name and six random characters, which a caller may leave out. */
function nameOf(id: string): string {
  const [, full] = /^arn:[^:]+:secretsmanager:[^:]*:\d*:secret:(.+)$/.exec(id) ?? [];
  return full === undefined ? id : full.replace(/-[A-Za-z0-9]{6}$/, '');
}

function textsOf(body: Buffer): { SecretId?: string; SecretString?: string } {
  try {
    const { SecretId, SecretString } = JSON.parse(body.toString('utf8')) as Record<string, unknown>;
    return {
      ...(typeof SecretId === 'string' && { SecretId }),
      ...(typeof SecretString === 'string' && { SecretString }),
    };
  } catch {
    return {};
  }
}

function fail(response: ServerResponse, name: string, message: string): void {
  sendError(response, 'secretsmanager', { name, message, status: 400 });
}
