// The edge, where a stage wants one: CloudFront before the API, WAF before CloudFront, and a header that only they know.
import {
  CfnOutput,
  CrossStackReferences,
  ReferenceStrength,
  Stack,
  type StackProps,
  Validations,
} from 'aws-cdk-lib';
import { Certificate } from 'aws-cdk-lib/aws-certificatemanager';
import * as cloudfront from 'aws-cdk-lib/aws-cloudfront';
import { HttpOrigin } from 'aws-cdk-lib/aws-cloudfront-origins';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import * as waf from 'aws-cdk-lib/aws-wafv2';
import { Construct } from 'constructs';
import { edge_headers } from '../shared/config.ts';
import type { KernelConfig } from './config.ts';
import type { EdgeSettings } from './stage-options.ts';

/** Where WAF keeps what guards CloudFront. */
export const EDGE_REGION = 'us-east-1';

/** Bodies of events hold whatever a page holds, long or odd, and are data here from end to end: what a rule suspects of them is counted. */
const COUNTED_ONLY = [
  'SizeRestrictions_BODY',
  'CrossSiteScripting_BODY',
  'GenericRFI_BODY',
  'GenericLFI_BODY',
  'EC2MetaDataSSRF_BODY',
  'NoUserAgent_HEADER',
];

/** The rules of the firewall, in a stack of the region that they must be in. */
export class FirewallStack extends Stack {
  readonly webAclArn: string;

  constructor(
    scope: Construct,
    id: string,
    props: StackProps & { readonly config: KernelConfig; readonly edge: EdgeSettings },
  ) {
    super(scope, id, props);
    const name = `revenue-kernel-${props.config.stage}`;
    const acl = new waf.CfnWebACL(this, 'Rules', {
      name,
      scope: 'CLOUDFRONT',
      defaultAction: { allow: {} },
      visibilityConfig: visibility(name),
      customResponseBodies: {
        tooMany: {
          contentType: 'APPLICATION_JSON',
          content: JSON.stringify({ ok: false, error: 'Rate limit', code: 'rate_limited' }),
        },
      },
      rules: [
        rateRule(props.edge.requestsPerMinute, 0),
        managedRule('AWSManagedRulesAmazonIpReputationList', 1),
        managedRule('AWSManagedRulesKnownBadInputsRuleSet', 2),
        managedRule('AWSManagedRulesCommonRuleSet', 3, COUNTED_ONLY),
      ],
    });
    // Read when the other stack is deployed: a strong reference over regions would take two functions with wide rights.
    CrossStackReferences.of(acl).produce(ReferenceStrength.WEAK);
    this.webAclArn = acl.attrArn;
  }
}

export interface EdgeProps {
  readonly config: KernelConfig;
  readonly edge: EdgeSettings;
  readonly webAclArn: string;
  readonly originSecret: ISecret;
  /** The name by which the API is reached. */
  readonly originName: string;
}

export class Edge extends Construct {
  /** Files of a bucket get a behaviour of their own here. */
  readonly distribution: cloudfront.Distribution;
  readonly url: string;

  constructor(scope: Construct, id: string, props: EdgeProps) {
    super(scope, id);
    const { config, edge } = props;
    this.distribution = new cloudfront.Distribution(this, 'Distribution', {
      // A change of this text is also what makes CloudFormation read the secret again.
      comment: `revenue-kernel-${config.stage}, origin secret ${edge.originSecretVersion}`,
      webAclId: props.webAclArn,
      httpVersion: cloudfront.HttpVersion.HTTP2_AND_3,
      ...(edge.viewer && {
        minimumProtocolVersion: cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021,
        domainNames: [edge.viewer.domainName],
        certificate: Certificate.fromCertificateArn(this, 'Certificate', edge.viewer.certificateArn),
      }),
      defaultBehavior: {
        origin: new HttpOrigin(props.originName, {
          protocolPolicy: cloudfront.OriginProtocolPolicy.HTTPS_ONLY,
          originSslProtocols: [cloudfront.OriginSslPolicy.TLS_V1_2],
          customHeaders: {
            [edge_headers.secret]: props.originSecret.secretValueFromJson('current').unsafeUnwrap(),
          },
        }),
        viewerProtocolPolicy: cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
        allowedMethods: cloudfront.AllowedMethods.ALLOW_ALL,
        cachePolicy: cloudfront.CachePolicy.CACHING_DISABLED,
        originRequestPolicy: cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
        functionAssociations: [
          {
            eventType: cloudfront.FunctionEventType.VIEWER_REQUEST,
            function: this.viewerAddress(config.stage),
          },
        ],
      },
    });
    this.url = `https://${edge.viewer?.domainName ?? this.distribution.distributionDomainName}`;
    new CfnOutput(Stack.of(this), 'EdgeTarget', { value: this.distribution.distributionDomainName });
    this.acknowledge(edge);
  }

  /** Behind CloudFront the API sees CloudFront; the limit of requests asks for the client. */
  private viewerAddress(stage: string): cloudfront.Function {
    return new cloudfront.Function(this, 'ViewerAddress', {
      functionName: `revenue-kernel-${stage}-viewer-address`,
      runtime: cloudfront.FunctionRuntime.JS_2_0,
      comment: 'Tells the API the address of the client',
      code: cloudfront.FunctionCode.fromInline(
        [
          'function handler(event) {',
          `  event.request.headers['${edge_headers.address}'] = { value: event.viewer.ip };`,
          '  return event.request;',
          '}',
        ].join('\n'),
      ),
    });
  }

  private acknowledge(edge: EdgeSettings): void {
    Validations.of(this.distribution).acknowledge(
      {
        id: 'AwsSolutions-CFR1',
        reason:
          'Customers measure visitors from everywhere; whom a site admits is decided by its origins and keys.',
      },
      {
        id: 'AwsSolutions-CFR3',
        reason:
          'The API behind it writes a line for each request that passes, and WAF samples those that do not.',
      },
    );
    if (!edge.viewer) {
      Validations.of(this.distribution).acknowledge({
        id: 'AwsSolutions-CFR4',
        reason:
          'The certificate of cloudfront.net fixes the protocols; with a name of its own the stage asks for TLS 1.2.',
      });
    }
  }
}

function visibility(metricName: string): waf.CfnWebACL.VisibilityConfigProperty {
  return { cloudWatchMetricsEnabled: true, sampledRequestsEnabled: true, metricName };
}

function rateRule(limit: number, priority: number): waf.CfnWebACL.RuleProperty {
  return {
    name: 'Rate',
    priority,
    statement: { rateBasedStatement: { aggregateKeyType: 'IP', limit, evaluationWindowSec: 60 } },
    action: {
      block: {
        customResponse: {
          responseCode: 429,
          customResponseBodyKey: 'tooMany',
          // As the limit of a site answers, so that a client waits in the same way.
          responseHeaders: [
            { name: 'retry-after', value: '60' },
            { name: 'x-opsmantik-ratelimit', value: '1' },
          ],
        },
      },
    },
    visibilityConfig: visibility('Rate'),
  };
}

function managedRule(
  name: string,
  priority: number,
  countedOnly: readonly string[] = [],
): waf.CfnWebACL.RuleProperty {
  return {
    name,
    priority,
    statement: {
      managedRuleGroupStatement: {
        vendorName: 'AWS',
        name,
        ruleActionOverrides: countedOnly.map((one) => ({ name: one, actionToUse: { count: {} } })),
      },
    },
    overrideAction: { none: {} },
    visibilityConfig: visibility(name),
  };
}
