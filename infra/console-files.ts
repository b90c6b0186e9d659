// Brings the built console into its bucket: what never changes for ever, what does change for no time, and the stage's settings.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { IgnoreMode, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import { Policy, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { Bucket, IBucket } from 'aws-cdk-lib/aws-s3';
import { BucketDeployment, CacheControl, type ISource, Source } from 'aws-cdk-lib/aws-s3-deployment';
import { Construct } from 'constructs';
import type { KernelConfig } from './config.ts';
import type { AnyFunction } from './function.ts';

const DIST = join(import.meta.dirname, '..', 'dist');
/** Named by the hash of what they hold. */
const HASHED = 'console/assets/*';

export interface ConsoleFilesProps {
  readonly config: KernelConfig;
  readonly bucket: Bucket;
  /** What `/config.json` says, which the build cannot know. */
  readonly settings: Readonly<Record<string, unknown>>;
}

export class ConsoleFiles extends Construct {
  private readonly first: BucketDeployment;

  constructor(scope: Construct, id: string, { config, bucket, settings }: ConsoleFilesProps) {
    super(scope, id);
    const logGroup = new LogGroup(this, 'Logs', {
      logGroupName: `/aws/lambda/revenue-kernel-${config.stage}-console`,
      retention: config.logRetention,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    // Not the grants of CDK, which reach every asset of the account and let the function delete what it has brought.
    const role = new Role(this, 'Role', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
    logGroup.grantWrite(role);
    const read = new Set<string>();
    const shared = {
      destinationBucket: bucket as IBucket, // CDK's classes and interfaces differ under exactOptionalPropertyTypes
      role: role.withoutPolicyUpdates(),
      logGroup,
      prune: false, // a tab that is open asks for files of the release that it came from
      outputObjectKeys: false,
    };
    const built = noted(
      Source.asset(DIST, { exclude: ['/*', '!/console'], ignoreMode: IgnoreMode.GIT }),
      read,
    );
    this.first = new BucketDeployment(this, 'Assets', {
      ...shared,
      sources: [built],
      exclude: ['*'],
      include: [HASHED],
      cacheControl: [CacheControl.fromString('public, max-age=31536000, immutable')],
    });
    const pages = new BucketDeployment(this, 'Pages', {
      ...shared,
      sources: [built, noted(Source.jsonData('config.json', settings), read)],
      exclude: [HASHED],
      cacheControl: [CacheControl.noCache()],
    });
    pages.node.addDependency(this.first); // no page names a file that is not there yet
    const grants = this.grant(role, bucket, [...read]);
    this.first.node.addDependency(role, grants);
    acknowledgeRuntime(Stack.of(this));
  }

  /**
   * A page may ask for what only the functions of its own release answer. Meanwhile IAM also has time to learn which files the
   * role may read now.
   */
  publishAfter(...functions: readonly AnyFunction[]): void {
    this.first.node.addDependency(...functions.map(({ live, lambda }) => live ?? lambda));
  }

  private grant(role: Role, bucket: Bucket, read: string[]): Policy {
    const grants = new Policy(this, 'Grants', {
      roles: [role],
      statements: [
        new PolicyStatement({ actions: ['s3:GetObject'], resources: read }),
        new PolicyStatement({ actions: ['s3:ListBucket'], resources: [bucket.bucketArn] }),
        new PolicyStatement({ actions: ['s3:PutObject'], resources: [bucket.arnForObjects('*')] }),
      ],
    });
    // A finding is named by how the template writes the resource.
    const {
      'Fn::GetAtt': [name],
    } = bucket.stack.resolve(bucket.bucketArn) as { 'Fn::GetAtt': [string] };
    Validations.of(grants).acknowledge({
      id: `AwsSolutions-IAM5[Resource::<${name}.Arn>/*]`,
      reason: 'The names of the files are made by the build; the bucket holds nothing but the console.',
    });
    return grants;
  }
}

/** Whether the console has been built. @throws Error with the remedy in one sentence. */
export function requireConsole(): void {
  if (!existsSync(join(DIST, 'console', 'index.html'))) {
    throw new Error('The console dist/console/index.html is missing: run "npm run build" first.');
  }
}

/** The source, with the one object that it is read from added to the list. */
function noted(source: ISource, read: Set<string>): ISource {
  return {
    bind(scope, context) {
      const bound = source.bind(scope, context);
      read.add(bound.bucket.arnForObjects(bound.zipObjectKey));
      return bound;
    },
  };
}

/** CDK makes one function for every deployment of a stack and writes the version of Python itself. */
function acknowledgeRuntime(stack: Stack): void {
  const handler = stack.node.children.find(({ node }) => node.id.startsWith('Custom::CDKBucketDeployment'));
  if (handler === undefined)
    throw new Error('CDK names the function of its bucket deployments otherwise now.');
  Validations.of(handler).acknowledge({
    id: 'AwsSolutions-L1',
    reason: 'The version of Python is that of CDK, whose code it is; it changes with the library.',
  });
}
