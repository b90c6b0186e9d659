// The network that Aurora must have and nobody enters: isolated subnets, no route out, no function inside.
import { RemovalPolicy } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { KernelConfig } from './config.ts';

export class Network extends Construct {
  readonly vpc: ec2.IVpc;
  /** Admits nothing and lets nothing out: the Data API reaches the cluster from AWS's side. */
  readonly closed: ec2.ISecurityGroup;

  constructor(scope: Construct, id: string, config: KernelConfig) {
    super(scope, id);
    this.vpc = new ec2.Vpc(this, 'Vpc', {
      ipAddresses: ec2.IpAddresses.cidr('10.0.0.0/24'),
      maxAzs: 2,
      natGateways: 0,
      createInternetGateway: false,
      subnetConfiguration: [{ name: 'Ledger', subnetType: ec2.SubnetType.PRIVATE_ISOLATED, cidrMask: 26 }],
      // Nothing uses the default group, and emptying it would take a function with rights over every security group.
      restrictDefaultSecurityGroup: false,
    }) as ec2.IVpc;
    this.closed = new ec2.SecurityGroup(this, 'Closed', {
      vpc: this.vpc,
      description: 'The ledger: nothing in, nothing out',
      allowAllOutbound: false,
    });
    const logs = new LogGroup(this, 'FlowLogs', {
      retention: config.logRetention,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    // Nothing is allowed in, so each refused packet is a finding and accepted ones are of no interest.
    this.vpc.addFlowLog('Refused', {
      destination: ec2.FlowLogDestination.toCloudWatchLogs(logs),
      trafficType: ec2.FlowLogTrafficType.REJECT,
    });
  }
}
