// What a stage gets that asks for it: an edge, a copy of its backups, a pipeline. None of it is in a stage that does not ask.
import type { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { afterAll, describe, expect, test } from 'vitest';
import type { KernelConfig } from '../../infra/config.ts';
import type { EdgeSettings } from '../../infra/stage-options.ts';
import { freshApp, type Resource, removeAssemblies } from './assembly.ts';

afterAll(removeAssemblies);

const ACCOUNT = '111122223333';
const REGION = 'eu-central-1';
const certificate = (region: string) => `arn:aws:acm:${region}:${ACCOUNT}:certificate/0-0`;
const EDGE: EdgeSettings = { requestsPerMinute: 10_000, originSecretVersion: 1 };
const VAULT = 'arn:aws:backup:eu-central-1:999988887777:backup-vault:elsewhere';

/** The resources of each stack of prod with these settings, and what the rules found. */
function prodWith(settings: Partial<KernelConfig>, given: Readonly<Record<string, string>> = {}) {
  const place = { account: ACCOUNT, region: REGION };
  const app = freshApp('prod', (config) => ({ ...config, ...place, ...settings }), given);
  const assembly = app.synth();
  const stacks = assembly.stacks.map(({ id }) => id).sort();
  const resources = new Map(
    stacks.flatMap((id) =>
      Object.entries(
        Template.fromStack(app.node.findChild(id) as Stack).toJSON().Resources as Record<string, Resource>,
      ),
    ),
  );
  const ofType = (type: string) => [...resources].filter(([, { Type }]) => Type === type);
  const one = (type: string) => {
    const [first, ...others] = ofType(type);
    expect([type, others]).toEqual([type, []]);
    return (first as [string, Resource])[1].Properties;
  };
  return { stacks, ofType, one, missing: assembly.manifest.missing, resources };
}

describe('a stage with an edge', () => {
  const plain = prodWith(
    { edge: EDGE, backup: { copyToVaultArn: VAULT, days: 35 } },
    { github: 'acme/kernel' },
  );

  test('is synthesized without a look into the account, its firewall where CloudFront asks for it', () => {
    expect(plain.missing).toBeUndefined();
    expect(plain.stacks).toEqual(['Data', 'Firewall', 'Kernel', 'Pipeline']);
    expect(plain.one('AWS::CloudFront::Distribution').DistributionConfig.WebACLId).toEqual({
      'Fn::GetStackOutput': expect.objectContaining({
        StackName: 'RevenueKernel-prod-Firewall',
        Region: 'us-east-1',
      }),
    });
  });

  test('asks each function with a route for the secret of the edge, which only the edge and they can read', () => {
    const [[secret] = ['']] = plain
      .ofType('AWS::SecretsManager::Secret')
      .filter(([id]) => id.startsWith('OriginSecret'));
    const guarded = plain
      .ofType('AWS::Lambda::Function')
      .filter(([, { Properties }]) =>
        JSON.stringify(Properties.Environment?.Variables.ORIGIN_SECRET_ARN ?? '').includes(secret),
      )
      .map(([, { Properties }]) => Properties.FunctionName.replace('revenue-kernel-prod-', ''));
    const routed = ['api', 'assure', 'backfill', 'cleanup', 'freeze', 'ingest', 'match', 'money', 'process'];
    expect(guarded.sort()).toEqual([...routed, 'reconcile', 'recover', 'sweep', 'watchtower', 'webhook']);
    const readers = plain
      .ofType('AWS::IAM::Policy')
      .filter(([, { Properties }]) => JSON.stringify(Properties.PolicyDocument).includes(secret));
    expect(readers).toHaveLength(guarded.length);
    const { Origins } = plain.one('AWS::CloudFront::Distribution').DistributionConfig;
    const [{ HeaderName, HeaderValue }] = Origins[0].OriginCustomHeaders;
    expect(HeaderName).toBe('x-origin-secret');
    expect(JSON.stringify(HeaderValue)).toContain('{{resolve:secretsmanager:');
  });

  test('caches nothing, speaks TLS only and tells the API the address of the client', () => {
    const { DefaultCacheBehavior: behaviour, Origins } = plain.one(
      'AWS::CloudFront::Distribution',
    ).DistributionConfig;
    expect(behaviour).toMatchObject({
      CachePolicyId: '4135ea2d-6df8-44a3-9df3-4b5a84be39ad', // Managed-CachingDisabled
      OriginRequestPolicyId: 'b689b0a8-53d0-40ab-baf2-68738e2966ac', // Managed-AllViewerExceptHostHeader
      ViewerProtocolPolicy: 'https-only',
    });
    expect(Origins[0].CustomOriginConfig).toMatchObject({
      OriginProtocolPolicy: 'https-only',
      OriginSSLProtocols: ['TLSv1.2'],
    });
    const [{ FunctionCode } = { FunctionCode: '' }] = plain
      .ofType('AWS::CloudFront::Function')
      .map(([, { Properties }]) => Properties)
      .filter(({ Name }) => Name.endsWith('-viewer-address'));
    const handler = new Function(`${FunctionCode}; return handler;`)() as (event: object) => {
      headers: object;
    };
    const request = { headers: { 'x-viewer-address': { value: '10.0.0.1' } } };
    expect(handler({ viewer: { ip: '192.0.2.7' }, request }).headers).toEqual({
      'x-viewer-address': { value: '192.0.2.7' },
    });
  });

  test('limits the requests of one address, filters what AWS knows as bad, and only counts what it suspects of a body', () => {
    const { Scope, Rules, DefaultAction } = plain.one('AWS::WAFv2::WebACL');
    expect([Scope, DefaultAction]).toEqual(['CLOUDFRONT', { Allow: {} }]);
    const [rate, ...managed] = Rules;
    expect(rate.Statement.RateBasedStatement).toEqual({
      AggregateKeyType: 'IP',
      Limit: 10_000,
      EvaluationWindowSec: 60,
    });
    expect(rate.Action.Block.CustomResponse.ResponseCode).toBe(429);
    // biome-ignore lint/suspicious/noExplicitAny: the properties of a template have no type
    const groups = managed.map(({ Statement }: any) => Statement.ManagedRuleGroupStatement);
    expect(groups.map(({ Name }: { Name: string }) => Name)).toEqual([
      'AWSManagedRulesAmazonIpReputationList',
      'AWSManagedRulesKnownBadInputsRuleSet',
      'AWSManagedRulesCommonRuleSet',
    ]);
    const counted = groups[2].RuleActionOverrides;
    expect(counted.map(({ Name }: { Name: string }) => Name)).toContain('SizeRestrictions_BODY');
    for (const { ActionToUse } of counted) expect(ActionToUse).toEqual({ Count: {} });
  });

  test('closes the own address of the API where it has names for both sides', () => {
    expect(plain.one('AWS::ApiGatewayV2::Api').DisableExecuteApiEndpoint).toBeUndefined();
    const named = prodWith({
      edge: {
        ...EDGE,
        viewer: { domainName: 'api.example.com', certificateArn: certificate('us-east-1') },
        origin: { domainName: 'origin.example.com', certificateArn: certificate(REGION) },
      },
    });
    expect(named.one('AWS::ApiGatewayV2::Api').DisableExecuteApiEndpoint).toBe(true);
    expect(named.one('AWS::ApiGatewayV2::DomainName').DomainName).toBe('origin.example.com');
    const { Aliases, Origins, ViewerCertificate } = named.one(
      'AWS::CloudFront::Distribution',
    ).DistributionConfig;
    expect([Aliases, Origins[0].DomainName]).toEqual([['api.example.com'], 'origin.example.com']);
    expect(ViewerCertificate.MinimumProtocolVersion).toBe('TLSv1.2_2021');
  });

  test('is refused in one sentence without its place, as a copy of backups is without a key of its own', () => {
    expect(() => freshApp('prod', (config) => ({ ...config, edge: EDGE }))).toThrow(
      'An edge reaches over regions: set account and region of its stage.',
    );
    const backup = { copyToVaultArn: VAULT, days: 35 };
    expect(() => freshApp('staging', (config) => ({ ...config, backup }))).toThrow(
      'A snapshot under the key of AWS cannot leave the account: set ledger.ownKey for backups.',
    );
  });

  test('copies a daily snapshot of the ledger into the vault elsewhere, whose account can read it; neither ends early', () => {
    const [rule, ...others] = plain.one('AWS::Backup::BackupPlan').BackupPlan.BackupPlanRule;
    expect(others).toEqual([]);
    expect(rule).toMatchObject({
      ScheduleExpression: 'cron(0 5 * * ? *)',
      Lifecycle: { DeleteAfterDays: 35 },
      CopyActions: [{ DestinationBackupVaultArn: VAULT, Lifecycle: { DeleteAfterDays: 35 } }],
    });
    expect(plain.one('AWS::Backup::BackupVault').LockConfiguration).toEqual({ MinRetentionDays: 35 });
    const { Resources } = plain.one('AWS::Backup::BackupSelection').BackupSelection;
    expect(JSON.stringify(Resources)).toContain('LedgerCluster');
    const keys = plain.ofType('AWS::KMS::Key').filter(([id]) => id.startsWith('LedgerKey'));
    expect(JSON.stringify(keys[0]?.[1].Properties.KeyPolicy)).toContain(':iam::999988887777:root');
  });

  test('is deployed by a role of one environment of one repository, which can take on the roles of CDK and no more', () => {
    const [[, { Properties }] = ['', { Properties: {} }]] = plain
      .ofType('AWS::IAM::Role')
      .filter(([, role]) => role.Properties.RoleName === 'revenue-kernel-prod-pipeline');
    const [trust, ...others] = Properties.AssumeRolePolicyDocument.Statement;
    expect(others).toEqual([]);
    expect(trust).toMatchObject({
      Action: 'sts:AssumeRoleWithWebIdentity',
      Condition: {
        StringEquals: {
          'token.actions.githubusercontent.com:aud': 'sts.amazonaws.com',
          'token.actions.githubusercontent.com:sub': 'repo:acme/kernel:environment:prod',
        },
      },
    });
    const written = Properties.Policies[0].PolicyDocument.Statement;
    expect(written.map(({ Action }: { Action: string }) => Action)).toEqual([
      'sts:AssumeRole',
      'secretsmanager:GetSecretValue',
    ]);
    expect(JSON.stringify(written)).not.toContain('*');
    expect(written[0].Resource).toHaveLength(6); // three roles, here and where the firewall is
    expect(plain.one('AWS::IAM::OIDCProvider').ClientIdList).toEqual(['sts.amazonaws.com']);
  });
});

test('a repository that is none is refused, and an account that knows GitHub gets no second provider', () => {
  expect(() => freshApp('dev', undefined, { github: 'acme' })).toThrow(
    'The repository "acme" is not of the form owner/name.',
  );
  const app = freshApp('dev', undefined, { github: 'acme/kernel', 'github-provider': 'exists' });
  const template = Template.fromStack(app.node.findChild('Pipeline') as Stack);
  template.resourceCountIs('AWS::IAM::OIDCProvider', 0);
});
