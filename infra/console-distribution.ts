// How CloudFront serves the console: the paths of its pages from the bucket with strict headers, everything else from the API.
import { join } from 'node:path';
import { Annotations, Duration, Validations } from 'aws-cdk-lib';
import * as cloudfront from 'aws-cdk-lib/aws-cloudfront';
import { HttpOrigin, S3BucketOrigin } from 'aws-cdk-lib/aws-cloudfront-origins';
import type { Bucket, IBucket } from 'aws-cdk-lib/aws-s3';
import type { Construct } from 'constructs';
import type { KernelConfig } from './config.ts';
import type { Edge } from './edge.ts';

/** Everything that is not of the API. */
const CONSOLE_PATHS = ['/console', '/console/*', '/config.json', '/finance/withdrawals'];
const REWRITE = join(import.meta.dirname, 'console-rewrite.js');

export interface ServedConsole {
  readonly config: KernelConfig;
  readonly bucket: Bucket;
  /** The name by which the API is reached. */
  readonly originName: string;
  readonly edge: Edge | undefined;
  /** Where people sign in: the one origin beside its own that a page may call. */
  readonly signIn: string;
}

/** @returns the origin that console and API share. */
export function serveConsole(scope: Construct, served: ServedConsole): string {
  const distribution = served.edge?.distribution ?? ownDistribution(scope, served);
  const name = `revenue-kernel-${served.config.stage}-console`; // names count for the whole account
  const origin = S3BucketOrigin.withOriginAccessControl(served.bucket as IBucket, {
    originAccessControl: new cloudfront.S3OriginAccessControl(scope, 'Access', {
      originAccessControlName: name,
    }),
    // Without the right to list, S3 answers 403 to a file that does not exist. No path that CloudFront passes on is a list.
    originAccessLevels: [cloudfront.AccessLevel.READ, cloudfront.AccessLevel.LIST],
  });
  const behaviour: cloudfront.AddBehaviorOptions = {
    viewerProtocolPolicy: cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
    allowedMethods: cloudfront.AllowedMethods.ALLOW_GET_HEAD,
    cachePolicy: cloudfront.CachePolicy.CACHING_OPTIMIZED, // for as long as the header of the file says
    responseHeadersPolicy: headersPolicy(scope, name, served.signIn),
    functionAssociations: [
      { eventType: cloudfront.FunctionEventType.VIEWER_REQUEST, function: rewrite(scope, name) },
    ],
  };
  for (const path of CONSOLE_PATHS) distribution.addBehavior(path, origin, behaviour);
  Annotations.of(distribution).acknowledgeWarning(
    '@aws-cdk/aws-cloudfront-origins:listBucketSecurityRisk',
    'The bucket is not behind the default behaviour, so no path is the list of its files.',
  );
  return served.edge?.url ?? `https://${distribution.distributionDomainName}`;
}

function rewrite(scope: Construct, functionName: string): cloudfront.Function {
  return new cloudfront.Function(scope, 'Rewrite', {
    functionName,
    runtime: cloudfront.FunctionRuntime.JS_2_0,
    comment: 'Answers every page of the console with its one document',
    code: cloudfront.FunctionCode.fromFile({ filePath: REWRITE }),
  });
}

/** Scripts, styles and fonts of its own, calls to its own origin and to where people sign in, and nothing else. */
function contentSecurityPolicy(signIn: string): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "worker-src 'self'",
    `connect-src 'self' ${signIn}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join('; ');
}

function headersPolicy(
  scope: Construct,
  responseHeadersPolicyName: string,
  signIn: string,
): cloudfront.ResponseHeadersPolicy {
  const override = true;
  return new cloudfront.ResponseHeadersPolicy(scope, 'Headers', {
    responseHeadersPolicyName,
    securityHeadersBehavior: {
      contentSecurityPolicy: { contentSecurityPolicy: contentSecurityPolicy(signIn), override },
      strictTransportSecurity: { accessControlMaxAge: Duration.days(365), override },
      contentTypeOptions: { override },
      referrerPolicy: { referrerPolicy: cloudfront.HeadersReferrerPolicy.NO_REFERRER, override },
      frameOptions: { frameOption: cloudfront.HeadersFrameOption.DENY, override },
    },
    customHeadersBehavior: {
      customHeaders: [
        {
          header: 'permissions-policy',
          value: 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
          override,
        },
      ],
    },
  });
}

/** Of a stage without an edge: it adds no firewall and no secret, since the address of the API stays open beside it. */
function ownDistribution(scope: Construct, { config, originName }: ServedConsole): cloudfront.Distribution {
  const distribution = new cloudfront.Distribution(scope, 'Distribution', {
    comment: `revenue-kernel-${config.stage}, console and API`,
    httpVersion: cloudfront.HttpVersion.HTTP2_AND_3,
    defaultBehavior: {
      origin: new HttpOrigin(originName, {
        protocolPolicy: cloudfront.OriginProtocolPolicy.HTTPS_ONLY,
        originSslProtocols: [cloudfront.OriginSslPolicy.TLS_V1_2],
      }),
      viewerProtocolPolicy: cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
      allowedMethods: cloudfront.AllowedMethods.ALLOW_ALL,
      cachePolicy: cloudfront.CachePolicy.CACHING_DISABLED,
      originRequestPolicy: cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
    },
  });
  Validations.of(distribution).acknowledge(
    { id: 'AwsSolutions-CFR1', reason: 'People who may sign in travel; who they are is asked, not where.' },
    {
      id: 'AwsSolutions-CFR2',
      reason:
        'The API behind it has an address of its own without a firewall; a stage with an edge has both.',
    },
    {
      id: 'AwsSolutions-CFR3',
      reason: 'The API behind it writes a line for each request; the files are the same for everybody.',
    },
    {
      id: 'AwsSolutions-CFR4',
      reason: 'The certificate of cloudfront.net fixes the protocols; a stage with a name has an edge.',
    },
  );
  return distribution;
}
