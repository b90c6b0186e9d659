// Secrets over Secrets Manager, kept for a few minutes; an instance that lives long sees a rotation.
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { KernelError } from '../errors.ts';
import type { Secrets } from '../ports.ts';

const kept_ms = 5 * 60 * 1000;

export function secretsManager(): Secrets {
  const client = new SecretsManagerClient({
    maxAttempts: 3,
    requestHandler: { connectionTimeout: 1_000, requestTimeout: 2_000, throwOnRequestTimeout: true },
  });
  const kept = new Map<string, { value: string; until: number }>();
  return {
    async get(id) {
      const known = kept.get(id);
      if (known && known.until > Date.now()) return known.value;
      const { SecretString } = await client
        .send(new GetSecretValueCommand({ SecretId: id }))
        .catch((cause: unknown) => {
          throw new KernelError('internal', 'A secret cannot be read.', { cause });
        });
      const value = SecretString ?? '';
      kept.set(id, { value, until: Date.now() + kept_ms });
      return value;
    },
  };
}
