// The network that Aurora must have: isolated subnets without a route out; nobody enters them, or the functions that a proxy serves.
import { RemovalPolicy } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { KernelConfig } from './config.ts';

const LEDGER = { name: 'Ledger', subnetType: ec2.SubnetType.PRIVATE_ISOLATED, cidrMask: 26 };
// After those of the ledger, whose addresses must not move; few are enough, for functions share theirs.
const FUNCTIONS = { name: 'Functions', subnetType: ec2.SubnetType.PRIVATE_ISOLATED, cidrMask: 27 };
const FUNCTIONS_WITH_NAT = { ...FUNCTIONS, subnetType: ec2.SubnetType.PRIVATE_WITH_EGRESS };
const PUBLIC = {
  name: 'Public',
  subnetType: ec2.SubnetType.PUBLIC,
  cidrMask: 28,
  mapPublicIpOnLaunch: false,
};

export class Network extends Construct {
  readonly vpc: ec2.IVpc;
  readonly ledgerSubnets: ec2.ISubnet[];
  /** None with the Data API. */
  readonly functionSubnets: ec2.ISubnet[];
  /** Admits nothing but a proxy and lets nothing out: the Data API reaches the cluster from AWS's side. */
  readonly closed: ec2.ISecurityGroup;

  constructor(scope: Construct, id: string, config: KernelConfig) {
    super(scope, id);
    const inside = config.ledger.access === 'proxy';
    const nat = inside && config.ledger.nat === true;
    this.vpc = new ec2.Vpc(this, 'Vpc', {
      ipAddresses: ec2.IpAddresses.cidr('10.0.0.0/24'),
      maxAzs: 2,
      natGateways: nat ? 1 : 0,
      createInternetGateway: nat,
      subnetConfiguration: [LEDGER, ...(nat ? [FUNCTIONS_WITH_NAT, PUBLIC] : inside ? [FUNCTIONS] : [])],
      // Nothing uses the default group, and emptying it would take a function with rights over every security group.
      restrictDefaultSecurityGroup: false,
    }) as ec2.IVpc;
    this.ledgerSubnets = this.vpc.selectSubnets({ subnetGroupName: LEDGER.name }).subnets;
    this.functionSubnets = inside ? this.vpc.selectSubnets({ subnetGroupName: FUNCTIONS.name }).subnets : [];
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
