// The direct way to the ledger, for stages that chose it: RDS Proxy, and the endpoints that functions inside the network need.
import { ArnFormat, Duration, Validations } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { Effect, Policy, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import * as rds from 'aws-cdk-lib/aws-rds';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import type { FunctionName, KernelConfig } from './config.ts';
import type { AnyFunction } from './function.ts';
import type { Network } from './network.ts';

const PORT = 5432;
/** As long as the Data API lets a statement run; functions stop waiting earlier. */
const STATEMENT_TIMEOUT = '45s';

/**
 * These call what no endpoint leads to: the keys of the token issuer, payment providers, the API of the stage itself. Without a
 * NAT gateway they stay outside of the network, and with the Data API.
 */
const CALLS_OUT: readonly FunctionName[] = [
  'api',
  'assure',
  'backfill',
  'match',
  'money',
  'process',
  'watchtower',
];

export interface LedgerProxyProps {
  readonly config: KernelConfig;
  readonly network: Network;
  readonly cluster: rds.DatabaseCluster;
  readonly secrets: readonly ISecret[];
}

export class LedgerProxy extends Construct {
  readonly endpoint: string;
  readonly vpc: ec2.IVpc;
  readonly subnets: ec2.ISubnet[];
  /** The functions inside the network. */
  readonly callers: ec2.ISecurityGroup;
  private readonly nat: boolean;

  constructor(scope: Construct, id: string, { config, network, cluster, secrets }: LedgerProxyProps) {
    super(scope, id);
    const { vpc } = network;
    this.vpc = vpc;
    this.nat = config.ledger.nat === true;
    this.subnets = network.functionSubnets;
    const door = group(this, 'Door', vpc, 'RDS Proxy: from the functions, to the ledger');
    this.callers = group(this, 'Callers', vpc, 'Functions: to the ledger and to AWS over HTTPS');
    door.connections.allowFrom(this.callers, ec2.Port.tcp(PORT), 'Functions to the proxy');
    // Of what lies behind 443, the routes of the subnets decide: endpoints only, or everything through the NAT gateway.
    this.callers.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(443), 'AWS over HTTPS');
    const proxy = new rds.DatabaseProxy(this, 'Proxy', {
      dbProxyName: `revenue-kernel-${config.stage}`,
      proxyTarget: rds.ProxyTarget.fromCluster(cluster),
      secrets: [...secrets],
      vpc,
      vpcSubnets: { subnets: network.ledgerSubnets },
      securityGroups: [door],
      requireTLS: true,
      iamAuth: false,
      clientPasswordAuthType: rds.ClientPasswordAuthType.POSTGRES_SCRAM_SHA_256,
      // Here and not when a function connects: a session that sets something keeps its connection to itself.
      initQuery: `SET statement_timeout = '${STATEMENT_TIMEOUT}'`,
      // Less than a function waits; its caller comes again.
      borrowTimeout: Duration.seconds(3),
      // The rest is for the Data API, which migrations use, and for a person.
      maxConnectionsPercent: 80,
    });
    this.endpoint = proxy.endpoint;
    this.openEndpoints();
  }

  /** Whether the function goes this way. Migrations never do: they need transactions, and the first one makes the roles. */
  serves(entry: FunctionName): boolean {
    return entry !== 'migrate' && (this.nat || !CALLS_OUT.includes(entry));
  }

  /** Where Lambda puts such a function. */
  get placement(): Pick<lambda.FunctionProps, 'vpc' | 'vpcSubnets' | 'securityGroups'> {
    const { vpc, subnets, callers } = this;
    return { vpc, vpcSubnets: { subnets }, securityGroups: [callers] };
  }

  /** Lambda makes the function's network interfaces in its role; the code itself, which has the same role, may not. */
  admit(entrant: AnyFunction): void {
    const actions = [
      ...['CreateNetworkInterface', 'DeleteNetworkInterface', 'DescribeNetworkInterfaces'],
      ...['DescribeSubnets', 'AssignPrivateIpAddresses', 'UnassignPrivateIpAddresses'],
    ].map((action) => `ec2:${action}`);
    const resource = entrant.lambda.node.defaultChild as lambda.CfnFunction;
    const self = resource.stack.formatArn({
      service: 'lambda',
      resource: 'function',
      resourceName: resource.functionName ?? '',
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
    const network = new Policy(entrant, 'Network', {
      roles: [entrant.role],
      statements: [
        new PolicyStatement({ actions, resources: ['*'] }),
        new PolicyStatement({
          effect: Effect.DENY,
          actions,
          resources: ['*'],
          conditions: { ArnEquals: { 'lambda:SourceFunctionArn': self } },
        }),
      ],
    });
    Validations.of(network).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason:
        'Lambda needs these for network interfaces that do not exist before; the code of the function is denied them.',
    });
    resource.node.addDependency(network);
  }

  /** Also beside a NAT gateway, so that taking events depends on none. Logs, traces and queue polling are Lambda's own. */
  private openEndpoints(): void {
    const { vpc } = this;
    const { DYNAMODB, S3 } = ec2.GatewayVpcEndpointAwsService;
    for (const [id, service] of Object.entries({ DynamoDB: DYNAMODB, Objects: S3 })) {
      new ec2.GatewayVpcEndpoint(this, id, { vpc, service, subnets: [{ subnets: this.subnets }] });
    }
    const inside = group(this, 'Endpoints', vpc, 'Endpoints of AWS: from the functions only');
    inside.connections.allowFrom(this.callers, ec2.Port.tcp(443), 'Functions to AWS');
    const { SECRETS_MANAGER, SQS } = ec2.InterfaceVpcEndpointAwsService;
    for (const [id, service] of Object.entries({ Secrets: SECRETS_MANAGER, Queues: SQS })) {
      new ec2.InterfaceVpcEndpoint(this, id, {
        vpc,
        service,
        subnets: { subnets: this.subnets },
        securityGroups: [inside],
        open: false,
      });
    }
  }
}

function group(scope: Construct, id: string, vpc: ec2.IVpc, description: string): ec2.ISecurityGroup {
  return new ec2.SecurityGroup(scope, id, { vpc, description, allowAllOutbound: false });
}
