// What each stage promises of its buckets: evidence that stays, exports that go, and nobody from outside.
import { afterAll, describe, expect, test } from 'vitest';
import { STAGE_NAMES } from '../../infra/config.ts';
import { functionOf, ofType, type Resource, removeAssemblies, synthesized } from './assembly.ts';

afterAll(removeAssemblies);

describe.each(STAGE_NAMES)('the buckets of %s', (name) => {
  const stage = synthesized(name);
  const buckets = ofType(stage, 'AWS::S3::Bucket');
  const bucket = (part: string) => buckets.find(([id]) => id.startsWith(part))?.[1] as Resource;

  test('are encrypted, owned by the account and closed to the public', () => {
    expect(buckets).toHaveLength(3);
    for (const [, { Properties }] of buckets) {
      expect(Properties.PublicAccessBlockConfiguration).toEqual({
        BlockPublicAcls: true,
        BlockPublicPolicy: true,
        IgnorePublicAcls: true,
        RestrictPublicBuckets: true,
      });
      const [{ ServerSideEncryptionByDefault }] =
        Properties.BucketEncryption.ServerSideEncryptionConfiguration;
      expect(ServerSideEncryptionByDefault.SSEAlgorithm).toBe('AES256');
      expect(Properties.OwnershipControls.Rules).toEqual([{ ObjectOwnership: 'BucketOwnerEnforced' }]);
    }
  });

  test('refuse plain HTTP to everybody, for themselves and for every object', () => {
    const policies = ofType(stage, 'AWS::S3::BucketPolicy').map(([, { Properties }]) => Properties);
    expect(policies.map((policy) => policy.Bucket.Ref).sort()).toEqual(buckets.map(([id]) => id).sort());
    for (const { Bucket, PolicyDocument } of policies) {
      const arn = { 'Fn::GetAtt': [Bucket.Ref, 'Arn'] };
      const [refused, ...others] = PolicyDocument.Statement;
      expect(others).toHaveLength(Bucket.Ref.startsWith('Console') ? 1 : 0); // console.test.ts
      expect(refused).toEqual({
        Effect: 'Deny',
        Action: 's3:*',
        Principal: { AWS: '*' },
        Condition: { Bool: { 'aws:SecureTransport': 'false' } },
        Resource: [arn, { 'Fn::Join': ['', [arn, '/*']] }],
      });
    }
  });

  test('lock every version of the evidence for as long as the stage asks, and never expire it', () => {
    const { Properties, DeletionPolicy } = bucket('Evidence');
    expect(Properties.VersioningConfiguration.Status).toBe('Enabled');
    expect(Properties.ObjectLockEnabled).toBe(true);
    expect(Properties.ObjectLockConfiguration.Rule.DefaultRetention).toEqual(
      {
        dev: { Mode: 'GOVERNANCE', Days: 1 },
        staging: { Mode: 'GOVERNANCE', Days: 30 },
        prod: { Mode: 'COMPLIANCE', Days: 400 },
      }[name],
    );
    expect(Properties.LifecycleConfiguration.Rules).toEqual([
      { AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 }, Status: 'Enabled' },
    ]);
    expect(DeletionPolicy).toBe(name === 'prod' ? 'RetainExceptOnCreate' : 'Delete');
  });

  test('forget exports after a week and their broken uploads after a day', () => {
    const { Properties, DeletionPolicy } = bucket('Exports');
    expect(Properties.VersioningConfiguration).toBeUndefined();
    expect(Properties.LifecycleConfiguration.Rules).toEqual([
      {
        AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 },
        ExpirationInDays: 7,
        Status: 'Enabled',
      },
    ]);
    expect(DeletionPolicy).toBe('Delete');
  });

  test('are emptied by no function of CDK', () => {
    expect(ofType(stage, 'Custom::S3AutoDeleteObjects')).toEqual([]);
  });
});

describe.each(STAGE_NAMES)('what %s tells its functions', (name) => {
  const stage = synthesized(name);
  const told = (entry: Parameters<typeof functionOf>[1]) =>
    functionOf(stage, entry).Properties.Environment.Variables;

  test('is the address of the API to watchtower, without a cycle of resources', () => {
    const [[api] = ['']] = ofType(stage, 'AWS::ApiGatewayV2::Api');
    expect(told('watchtower').API_URL).toEqual({ 'Fn::GetAtt': [api, 'ApiEndpoint'] });
    expect([...stage.resources.keys()].filter((id) => reaches(id, id))).toEqual([]);
  });

  test('is every dead-letter queue to watchtower', () => {
    const [, parts] = told('watchtower').DEAD_LETTER_QUEUE_URLS['Fn::Join'];
    const written = parts.map((part: unknown) => (typeof part === 'string' ? part : 'url')).join('');
    const names = ['delivery', 'export', 'failed-invocations', 'payments', 'runs', 'schedules'];
    expect(JSON.parse(written)).toEqual(Object.fromEntries(names.map((one) => [one, 'url'])));
    const deadLetters = ofType(stage, 'AWS::SQS::Queue').filter(
      ([, { Properties }]) => !Properties.RedrivePolicy,
    );
    expect(deadLetters).toHaveLength(names.length);
  });

  test('is how long to keep what to cleanup', () => {
    expect(told('cleanup')).toMatchObject({
      DISPUTE_WINDOW_DAYS: '90',
      EVENTS_RETENTION_DAYS: '60',
      PERSONAL_DATA_DAYS: '30',
    });
  });

  /** Whether a resource needs another, by any way through the template. */
  function reaches(from: string, to: string, seen = new Set<string>()): boolean {
    const resource = stage.resources.get(from);
    const written = JSON.stringify(resource?.Properties ?? {});
    const names = [...written.matchAll(/"(?:Ref|Fn::GetAtt)":\[?"(\w+)"/g)].map(([, id]) => id as string);
    for (const next of [...names, ...(resource?.DependsOn ?? [])]) {
      if (next === to) return true;
      if (seen.has(next)) continue;
      seen.add(next);
      if (reaches(next, to, seen)) return true;
    }
    return false;
  }
});
