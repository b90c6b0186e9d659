// .local/stack.json: what tools, tests and the operator's command may know of the running stack.
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { demoUsers } from './issuer.ts';
import type { LocalStack } from './start.ts';
import { accessKey } from './template/provision.ts';

const private_file = { mode: 0o600 };

/** Writes the file in one step, so that nobody reads half of it; returns the admin token in it. */
export async function writeStackFile(directory: string, stack: LocalStack): Promise<string> {
  const file = join(directory, 'stack.json');
  const content = await describe(stack);
  writeFileSync(`${file}.new`, JSON.stringify(content, null, 2), private_file);
  renameSync(`${file}.new`, file);
  return content.secrets.admin_token;
}

export function removeStackFile(directory: string): void {
  rmSync(join(directory, 'stack.json'), { force: true });
}

async function describe(stack: LocalStack) {
  const users = await Promise.all(
    demoUsers.map(async (user) => ({
      name: user.name,
      role: user.role,
      id: user.id,
      token: await stack.issuer.token(user),
    })),
  );
  const operator = {
    access_key_id: accessKey('operator'),
    secret_access_key: stack.state.secret('access-key:operator'),
    region: stack.client.region,
  };
  const cronSecretId =
    stack.resource('AWS::SecretsManager::Secret', 'CronSecret').ref.split(':').at(-1) ?? '';
  const mockpspSecretId =
    stack.resource('AWS::SecretsManager::Secret', 'Paymentsmockpsp').ref.split(':').at(-1) ?? '';
  const table = stack.resource('AWS::DynamoDB::GlobalTable', 'Usage').ref;
  const queue = stack.resource('AWS::SQS::Queue', 'DeliveryQueue').ref;
  const buckets = {
    exports: stack.resource('AWS::S3::Bucket', 'Exports').ref,
    evidence: stack.resource('AWS::S3::Bucket', 'Evidence').ref,
  };
  return {
    url: stack.url,
    pid: process.pid,
    database: {
      superuser_url: stack.postgres.superuserUrl,
      name: new URL(stack.postgres.superuserUrl).pathname.slice(1),
    },
    data_api: { endpoint: stack.door.url, ...operator },
    dynamodb: { endpoint: stack.door.url, usage_table: table, ...operator },
    sqs: { endpoint: stack.door.url, delivery_queue_url: queue, ...operator },
    s3: { endpoint: stack.door.url, buckets, ...operator },
    secrets_manager: { endpoint: stack.door.url, ...operator },
    issuer: { url: stack.issuer.url },
    secrets: {
      admin_token: users.find(({ role }) => role === 'platform-admin')?.token ?? '',
      cron_secret: stack.state.secret(cronSecretId),
      mockpsp_secret: stack.state.secret(mockpspSecretId),
    },
    users,
  };
}
