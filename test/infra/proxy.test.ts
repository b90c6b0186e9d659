// A stage that goes straight to Postgres: who stands in the network, what it may reach, and what everybody else keeps.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { afterAll, describe, expect, test } from 'vitest';
import { FUNCTIONS, type FunctionName, type KernelConfig, type Stage } from '../../infra/config.ts';
import {
  freshApp,
  functionOf,
  ofType,
  one,
  type Resource,
  removeAssemblies,
  type Synthesized,
  synthesized,
} from './assembly.ts';

afterAll(removeAssemblies);

/** Without a NAT gateway these must stay outside: they call token keys, payment providers or the stage's own API. */
const CALLS_OUT: FunctionName[] = ['api', 'assure', 'backfill', 'match', 'money', 'process', 'watchtower'];

function proxied(stage: Stage, nat: boolean): Synthesized {
  const app = freshApp(stage, (config) => ({
    ...config,
    ledger: { ...config.ledger, access: 'proxy', nat, ioOptimized: nat },
  }));
  const { directory } = app.synth();
  const resources = ['Data', 'Kernel'].flatMap((id) =>
    Object.entries(Template.fromStack(app.node.findChild(id) as Stack).toJSON().Resources as object),
  ) as [string, Resource][];
  const report = JSON.parse(readFileSync(join(directory, 'validation-report.json'), 'utf8'));
  return { stage, app, resources: new Map(resources), report };
}

/** What the function's role is granted, action by action, with the resource as the template writes it. */
function grants(made: Synthesized, entry: FunctionName): { effect: string; action: string; on: string }[] {
  const role: string = functionOf(made, entry).Properties.Role['Fn::GetAtt'][0];
  return ofType(made, 'AWS::IAM::Policy')
    .filter(([, { Properties }]) => Properties.Roles.some(({ Ref }: { Ref: string }) => Ref === role))
    .flatMap(([, { Properties }]) => Properties.PolicyDocument.Statement)
    .flatMap(({ Effect, Action, Resource }) =>
      [Action].flat().map((action) => ({ effect: Effect, action, on: JSON.stringify(Resource) })),
    );
}

describe.each([
  ['staging', false],
  ['prod', true],
] as const)('%s behind a proxy, with a NAT gateway: %s', (name, nat) => {
  const made = proxied(name, nat);
  const served = FUNCTIONS.filter((entry) => entry !== 'migrate' && (nat || !CALLS_OUT.includes(entry)));

  test('has no finding of the AWS Solutions rules or of the CloudFormation schema', () => {
    expect(made.report.pluginReports).toEqual([]);
  });

  test('keeps the ids of everything that holds data, and the addresses of the ledger', () => {
    const before = synthesized(name);
    for (const type of [
      'RDS::DBCluster',
      'RDS::DBInstance',
      'SecretsManager::Secret',
      'DynamoDB::GlobalTable',
    ]) {
      const ids = (of: Synthesized) => ofType(of, `AWS::${type}`).map(([id]) => id);
      expect(ids(made)).toEqual(ids(before));
    }
    const subnets = (of: Synthesized) =>
      ofType(of, 'AWS::EC2::Subnet')
        .filter(([id]) => id.includes('LedgerSubnet'))
        .map(([id, { Properties }]) => [id, Properties.CidrBlock]);
    expect(subnets(made)).toEqual(subnets(before));
    expect(subnets(made)).toHaveLength(2);
    expect(one(made, 'AWS::RDS::DBCluster').Properties.StorageType).toBe(nat ? 'aurora-iopt1' : undefined);
    const vpc = (of: Synthesized) => one(of, 'AWS::EC2::VPC').Properties.CidrBlock;
    expect(vpc(made)).toBe(vpc(before));
  });

  test('demands TLS and SCRAM of whoever logs in, with one secret for each role and none for the master', () => {
    const proxy = one(made, 'AWS::RDS::DBProxy').Properties;
    expect(proxy.RequireTLS).toBe(true);
    expect(proxy.EngineFamily).toBe('POSTGRESQL');
    const secrets = proxy.Auth.map((auth: Record<string, unknown>) => {
      expect(auth).toMatchObject({
        AuthScheme: 'SECRETS',
        IAMAuth: 'DISABLED',
        ClientPasswordAuthType: 'POSTGRES_SCRAM_SHA_256',
      });
      return (auth.SecretArn as { Ref: string }).Ref.replace(/^Ledger(\w+)Secret\w{8}$/, '$1');
    });
    const roles = ['api', 'deliver', 'ingest', 'jobs', 'money', 'webhook'].map((role) => `kernel${role}`);
    expect(secrets.sort()).toEqual(roles);
    const { ConnectionPoolConfigurationInfo: pool } = one(made, 'AWS::RDS::DBProxyTargetGroup').Properties;
    expect(pool).toMatchObject({
      InitQuery: "SET statement_timeout = '45s'",
      ConnectionBorrowTimeout: 3,
      MaxConnectionsPercent: 80,
    });
  });

  test.each(served)('%s stands in the network and may not call the Data API', (entry) => {
    const { VpcConfig, Environment } = functionOf(made, entry).Properties;
    expect(VpcConfig.SubnetIds).toHaveLength(2);
    expect(JSON.stringify(VpcConfig.SubnetIds)).toContain('FunctionsSubnet');
    expect(JSON.stringify(VpcConfig.SecurityGroupIds)).toContain('Callers');
    expect(Environment.Variables.LEDGER_ACCESS).toBe('proxy');
    expect(JSON.stringify(Environment.Variables.DATABASE_HOST)).toContain('Endpoint');
    const granted = grants(made, entry);
    expect(granted.filter(({ action }) => action.startsWith('rds-data:'))).toEqual([]);
    expect(granted.filter(({ on }) => /kernel\w+Secret/.test(on))).toHaveLength(1);
    const network = granted.filter(({ action }) => action.startsWith('ec2:'));
    expect(network.filter(({ effect }) => effect === 'Allow')).toHaveLength(6);
    expect(network.filter(({ effect }) => effect === 'Deny')).toHaveLength(6); // to the code itself
  });

  test.each(FUNCTIONS.filter((entry) => !served.includes(entry)))(
    '%s stays outside of the network and with the Data API',
    (entry) => {
      const { VpcConfig, Environment } = functionOf(made, entry).Properties;
      expect(VpcConfig).toBeUndefined();
      expect(Environment.Variables.LEDGER_ACCESS).toBe('data-api');
      expect(Environment.Variables.DATABASE_HOST).toBeUndefined();
      expect(grants(made, entry).map(({ action }) => action)).toContain('rds-data:ExecuteStatement');
    },
  );

  test('lets in only the functions to the proxy, only the proxy to the ledger, and nobody from outside', () => {
    const rules = ofType(made, 'AWS::EC2::SecurityGroupIngress').map(([, { Properties }]) => [
      groupOf(Properties.SourceSecurityGroupId),
      groupOf(Properties.GroupId),
      Properties.FromPort['Fn::GetAtt'] ? 'port of the cluster' : Properties.FromPort,
    ]);
    expect(rules.sort()).toEqual([
      ['Callers', 'Door', 5432],
      ['Callers', 'Endpoints', 443],
      ['Door', 'Closed', 'port of the cluster'],
    ]);
    for (const [, { Properties }] of ofType(made, 'AWS::EC2::SecurityGroup')) {
      expect(Properties.SecurityGroupIngress).toBeUndefined();
    }
    for (const [, { Properties }] of ofType(made, 'AWS::EC2::Subnet')) {
      expect(Properties.MapPublicIpOnLaunch).toBe(false);
    }
  });

  test('reaches AWS by endpoints, and the internet only by the NAT gateway that was asked for', () => {
    const endpoints = ofType(made, 'AWS::EC2::VPCEndpoint').map(([, { Properties }]) => [
      Properties.VpcEndpointType,
      JSON.stringify(Properties.ServiceName).replace(/^.*\.(\w+)".*$/, '$1'),
    ]);
    expect(endpoints.sort()).toEqual([
      ['Gateway', 'dynamodb'],
      ['Gateway', 's3'],
      ['Interface', 'secretsmanager'],
      ['Interface', 'sqs'],
    ]);
    expect(ofType(made, 'AWS::EC2::NatGateway')).toHaveLength(nat ? 1 : 0);
    expect(ofType(made, 'AWS::EC2::InternetGateway')).toHaveLength(nat ? 1 : 0);
    const routes = ofType(made, 'AWS::EC2::Route').map(([id]) => id);
    expect(routes.filter((id) => id.includes('LedgerSubnet'))).toEqual([]);
    expect(routes.filter((id) => id.includes('FunctionsSubnet'))).toHaveLength(nat ? 2 : 0);
  });
});

test('a stage that may pause cannot have a proxy, and is told so in one sentence', () => {
  const change = (config: KernelConfig): KernelConfig => ({
    ...config,
    ledger: { ...config.ledger, access: 'proxy' },
  });
  expect(() => freshApp('dev', change)).toThrow(
    'A cluster behind RDS Proxy never pauses: set ledger.capacityMin to 0.5 or more.',
  );
});

function groupOf(id: { 'Fn::GetAtt': [string] }): string {
  return id['Fn::GetAtt'][0].replace(/^Ledger(Access|Network)(\w+?)[0-9A-F]{8}$/, '$2');
}
