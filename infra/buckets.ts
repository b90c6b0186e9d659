// The buckets: archives that nobody can change for as long as the stage says, files that wait a week to be fetched, and the console.
import { Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import * as s3 from 'aws-cdk-lib/aws-s3';
import type { Construct } from 'constructs';
import type { KernelConfig } from './config.ts';

// No bucket is emptied with its stack, which would take a function that may delete every object: one that still holds
// something stops the deletion of the stack and says so.
const PRIVATE = {
  encryption: s3.BucketEncryption.S3_MANAGED,
  blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
  objectOwnership: s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
  enforceSSL: true,
} satisfies s3.BucketProps;
const LOGGED_BY_TRAIL =
  'Server access logs arrive late and incomplete: data events of CloudTrail are the proof of who read what.';
const ABORT_UPLOADS: s3.LifecycleRule = { abortIncompleteMultipartUploadAfter: Duration.days(1) };

/** The frozen months, as they were when they left the ledger; each version is locked from the moment it is written. */
export function evidenceBucket(scope: Construct, config: KernelConfig): s3.Bucket {
  const { mode, days } = config.evidenceLock;
  const locked =
    mode === 'COMPLIANCE' ? s3.ObjectLockRetention.compliance : s3.ObjectLockRetention.governance;
  const bucket = new s3.Bucket(scope, 'Evidence', {
    ...PRIVATE,
    versioned: true,
    objectLockEnabled: true,
    objectLockDefaultRetention: locked(Duration.days(days)),
    lifecycleRules: [ABORT_UPLOADS],
    removalPolicy: config.removalPolicy,
  });
  acknowledgeUnlogged(bucket, `Only three functions reach the objects. ${LOGGED_BY_TRAIL}`);
  return bucket;
}

/** The files of dispute exports, which can be built again at any time from the ledger or the evidence. */
export function exportsBucket(scope: Construct): s3.Bucket {
  const bucket = new s3.Bucket(scope, 'Exports', {
    ...PRIVATE,
    lifecycleRules: [{ ...ABORT_UPLOADS, expiration: Duration.days(7) }],
    removalPolicy: RemovalPolicy.DESTROY,
  });
  acknowledgeUnlogged(bucket, `Only three functions reach the objects. ${LOGGED_BY_TRAIL}`);
  return bucket;
}

/** The files of the console, which every deployment can bring again. Older ones stay: a tab that is open still asks for them. */
export function consoleBucket(scope: Construct): s3.Bucket {
  const bucket = new s3.Bucket(scope, 'Files', {
    ...PRIVATE,
    lifecycleRules: [ABORT_UPLOADS],
    removalPolicy: RemovalPolicy.DESTROY,
  });
  acknowledgeUnlogged(bucket, 'It holds what every visitor may read, and only CloudFront reads it.');
  return bucket;
}

function acknowledgeUnlogged(bucket: s3.Bucket, reason: string): void {
  Validations.of(bucket).acknowledge({ id: 'AwsSolutions-S1', reason });
}
