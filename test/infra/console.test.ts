// What the console promises of its place: private files, one origin with the API, strict headers, and settings that the deployment writes.
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import type { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { afterAll, describe, expect, test } from 'vitest';
import type { KernelConfig } from '../../infra/config.ts';
import { consoleFiles } from '../../local/http/console.ts';
import { finance_group, platform_admin_group, service_group } from '../../shared/token.ts';
import { freshApp, type Resource, removeAssemblies } from './assembly.ts';

afterAll(removeAssemblies);

const COMMIT = '0123456789abcdef';
const EDGE = {
  account: '111122223333',
  region: 'eu-central-1',
  edge: { requestsPerMinute: 10_000, originSecretVersion: 1 },
};

/** A stage with these settings, as its template and as CloudFormation would resolve the texts of it. */
function staged(settings: Partial<KernelConfig> = {}) {
  const app = freshApp('dev', (config) => ({ ...config, ...settings }));
  const { directory } = app.synth();
  const kernel = Template.fromStack(app.node.findChild('Kernel') as Stack).toJSON();
  const data = Template.fromStack(app.node.findChild('Data') as Stack).toJSON();
  const resources = Object.entries(kernel.Resources as Record<string, Resource>);
  const ofType = (type: string) => resources.filter(([, { Type }]) => Type === type);
  const one = (type: string, id = ''): [string, Resource['Properties']] => {
    const found = ofType(type).filter(([name]) => name.startsWith(id));
    expect([type, found.length]).toEqual([type, 1]);
    const [name, { Properties }] = found[0] as [string, Resource];
    return [name, Properties];
  };
  return { directory, kernel, data, ofType, one };
}

/** A text of the template, with `<name>` for what only the deployment knows. */
function text(node: unknown): string {
  if (typeof node === 'string') return node;
  const [[name, given] = ['', '']] = Object.entries(node as object);
  if (name === 'Fn::Join') return (given[1] as unknown[]).map(text).join(given[0]);
  return `<${[given].flat().join('.')}>`;
}

const plain = staged();
const edged = staged(EDGE);
const [distribution, { DistributionConfig: own }] = plain.one('AWS::CloudFront::Distribution');
const [, { DistributionConfig: shared }] = edged.one('AWS::CloudFront::Distribution');

describe('the files of the console', () => {
  const [bucket] = plain.one('AWS::S3::Bucket');

  test('are read by the one distribution through its access control, and by nobody else', () => {
    const [, { PolicyDocument }] = plain.one('AWS::S3::BucketPolicy');
    const [refused, allowed, ...others] = PolicyDocument.Statement;
    expect([refused.Effect, others]).toEqual(['Deny', []]);
    expect(allowed).toMatchObject({
      Effect: 'Allow',
      Principal: { Service: 'cloudfront.amazonaws.com' },
      Action: ['s3:GetObject', 's3:ListBucket'], // without the latter, a file that is not there is a 403
    });
    expect(text(allowed.Condition.StringEquals['AWS:SourceArn'])).toBe(
      `arn:<AWS::Partition>:cloudfront::<AWS::AccountId>:distribution/<${distribution}>`,
    );
    const [access, { OriginAccessControlConfig }] = plain.one('AWS::CloudFront::OriginAccessControl');
    expect(OriginAccessControlConfig).toMatchObject({ SigningBehavior: 'always', SigningProtocol: 'sigv4' });
    const files = own.Origins.filter(({ S3OriginConfig }: { S3OriginConfig?: object }) => S3OriginConfig);
    expect(files).toMatchObject([
      {
        DomainName: { 'Fn::GetAtt': [bucket, 'RegionalDomainName'] },
        OriginAccessControlId: { 'Fn::GetAtt': [access, 'Id'] },
      },
    ]);
  });

  test('are kept for ever where their names are hashes, asked for each time where not, and never deleted', () => {
    const [assetsId, assets] = plain.one('Custom::CDKBucketDeployment', 'ConsolePublishAssets');
    const [, pages] = plain.one('Custom::CDKBucketDeployment', 'ConsolePublishPages');
    expect(assets).toMatchObject({
      Prune: false,
      Exclude: ['*'],
      Include: ['console/assets/*'],
      SystemMetadata: { 'cache-control': 'public, max-age=31536000, immutable' },
    });
    expect(pages).toMatchObject({
      Prune: false,
      Exclude: ['console/assets/*'],
      SystemMetadata: { 'cache-control': 'no-cache' },
    });
    for (const { DestinationBucketName, RetainOnDelete, DistributionId } of [assets, pages]) {
      expect(DestinationBucketName).toEqual({ Ref: bucket });
      expect([RetainOnDelete, DistributionId]).toEqual([undefined, undefined]); // retained, and nothing to invalidate
    }
    const dependsOn = (part: string) =>
      plain.ofType('Custom::CDKBucketDeployment').find(([id]) => id.includes(part))?.[1].DependsOn;
    expect(dependsOn('Pages')).toContain(assetsId);
    expect(dependsOn('Assets')?.some((id) => id.startsWith('ApiLive'))).toBe(true);
    expect(dependsOn('Assets')?.some((id) => id.startsWith('MoneyLive'))).toBe(true);
  });
});

describe.each([
  ['a distribution of its own', plain, own],
  ['the edge of the stage', edged, shared],
])('at %s', (_name, stage, config) => {
  // biome-ignore lint/suspicious/noExplicitAny: the properties of a template have no type
  const behaviours: any[] = config.CacheBehaviors;
  const region = stage === edged ? 'eu-central-1' : '<AWS::Region>';

  test('the console has its paths and no other, over TLS and read only', () => {
    expect(behaviours.map(({ PathPattern }) => PathPattern)).toEqual([
      '/console',
      '/console/*',
      '/config.json',
      '/finance/withdrawals',
    ]);
    const [rewrite, { FunctionCode }] = stage.one('AWS::CloudFront::Function', 'ConsoleRewrite');
    expect(FunctionCode).toBe(
      readFileSync(join(import.meta.dirname, '../../infra/console-rewrite.js'), 'utf8'),
    );
    for (const behaviour of behaviours) {
      expect(behaviour).toMatchObject({
        AllowedMethods: ['GET', 'HEAD'],
        ViewerProtocolPolicy: 'redirect-to-https',
        FunctionAssociations: [
          { EventType: 'viewer-request', FunctionARN: { 'Fn::GetAtt': [rewrite, 'FunctionARN'] } },
        ],
      });
      const origin = config.Origins.find(({ Id }: { Id: string }) => Id === behaviour.TargetOriginId);
      expect(origin.S3OriginConfig).toBeDefined();
    }
  });

  test('everything else is the API, uncached and with every method', () => {
    const { DefaultCacheBehavior: api } = config;
    expect(api).toMatchObject({
      CachePolicyId: '4135ea2d-6df8-44a3-9df3-4b5a84be39ad', // Managed-CachingDisabled
      OriginRequestPolicyId: 'b689b0a8-53d0-40ab-baf2-68738e2966ac', // Managed-AllViewerExceptHostHeader
      ViewerProtocolPolicy: 'https-only',
      AllowedMethods: ['GET', 'HEAD', 'OPTIONS', 'PUT', 'PATCH', 'POST', 'DELETE'],
    });
    expect(api.ResponseHeadersPolicyId).toBeUndefined();
    const origin = config.Origins.find(({ Id }: { Id: string }) => Id === api.TargetOriginId);
    expect(text(origin.DomainName)).toMatch(/^<HttpApi\w+>\.execute-api\.\S+\.amazonaws\.com$/);
    expect(origin.CustomOriginConfig).toMatchObject({
      OriginProtocolPolicy: 'https-only',
      OriginSSLProtocols: ['TLSv1.2'],
    });
  });

  test('every page says that it runs nothing inline and calls nobody but its origin and the sign-in', () => {
    const [policy, { ResponseHeadersPolicyConfig }] = stage.one('AWS::CloudFront::ResponseHeadersPolicy');
    for (const { ResponseHeadersPolicyId } of behaviours)
      expect(ResponseHeadersPolicyId).toEqual({ Ref: policy });
    const { SecurityHeadersConfig: headers, CustomHeadersConfig } = ResponseHeadersPolicyConfig;
    const directives = Object.fromEntries(
      text(headers.ContentSecurityPolicy.ContentSecurityPolicy)
        .split('; ')
        .map((directive) => directive.split(/ (.*)/s).slice(0, 2) as [string, string]),
    );
    const [, pool] = Object.entries(stage.data.Resources as Record<string, Resource>).find(
      ([, { Type }]) => Type === 'AWS::Cognito::UserPoolDomain',
    ) as [string, Resource];
    expect(directives).toEqual({
      'default-src': "'none'",
      'script-src': "'self'",
      'style-src': "'self'",
      'img-src': "'self' data:",
      'font-src': "'self'",
      'worker-src': "'self'",
      'connect-src': `'self' https://${text(pool.Properties.Domain)}.auth.${region}.amazoncognito.com`,
      'base-uri': "'none'",
      'form-action': "'none'",
      'frame-ancestors': "'none'",
      'require-trusted-types-for': "'script'",
    });
    expect(headers).toMatchObject({
      StrictTransportSecurity: { AccessControlMaxAgeSec: 31_536_000, Override: true },
      ContentTypeOptions: { Override: true },
      ReferrerPolicy: { ReferrerPolicy: 'no-referrer', Override: true },
      FrameOptions: { FrameOption: 'DENY', Override: true },
    });
    expect(CustomHeadersConfig.Items).toMatchObject([{ Header: 'permissions-policy' }]);
  });

  test('the settings are written at the deployment, and people come back from the sign-in to where they read them', () => {
    const [client, { CallbackURLs, LogoutURLs, AllowedOAuthFlows, GenerateSecret }] = stage.one(
      'AWS::Cognito::UserPoolClient',
    );
    const [name] = stage.one('AWS::CloudFront::Distribution');
    const origin = `https://<${name}.DomainName>`;
    expect(CallbackURLs.map(text)).toEqual([
      `${origin}/console/signed-in`,
      'http://localhost:3000/console/signed-in',
    ]);
    expect(LogoutURLs.map(text)).toEqual([`${origin}/console`, 'http://localhost:3000/console']);
    expect([AllowedOAuthFlows, GenerateSecret]).toEqual([['code'], false]);
    expect(text(stage.kernel.Outputs.ConsoleUrl.Value)).toBe(`${origin}/console`);
    const signIn = `https://revenue-kernel-dev-<AWS::AccountId>.auth.${region}.amazoncognito.com`;
    expect(settingsOf(stage)).toEqual({
      stage: 'dev',
      build: COMMIT,
      region,
      issuer: expect.stringMatching(
        /^<RevenueKernel-dev-Data:ExportsOutputFnGetAttIdentityUsers\w+ProviderURL\w+>$/,
      ),
      client_id: `<${client}>`,
      authorization_endpoint: `${signIn}/oauth2/authorize`,
      token_endpoint: `${signIn}/oauth2/token`,
      end_session_endpoint: `${signIn}/logout`,
      languages: ['en', 'tr'],
    });
  });

  test('the functions take the tokens of this client, and operators sign in with it', () => {
    const [client] = stage.one('AWS::Cognito::UserPoolClient');
    const told = stage
      .ofType('AWS::Lambda::Function')
      .map(([, { Properties }]) => Properties.Environment?.Variables.TOKEN_CLIENT_ID)
      .filter((id) => id !== undefined);
    expect(told).toEqual(['api', 'money', 'assure', 'backfill'].map(() => ({ Ref: client })));
    expect(text(stage.kernel.Outputs.SignIn.Value)).toContain(`--client-id <${client}> `);
  });
});

test('an edge is the only distribution of its stage, with its firewall and its secret before the API', () => {
  expect(shared.WebACLId).toBeDefined();
  expect(own.WebACLId).toBeUndefined();
  const secrets = (config: { Origins: { OriginCustomHeaders?: object[] }[] }) =>
    config.Origins.map(({ OriginCustomHeaders = [] }) => OriginCustomHeaders.length);
  expect(secrets(shared)).toEqual([1, 0]); // none for the bucket
  expect(secrets(own)).toEqual([0, 0]);
});

test('a stage without a console has none of it, and its functions take the tokens of the client beside the users', () => {
  const bare = staged({ console: false });
  for (const type of [
    'CloudFront::Distribution',
    'S3::Bucket',
    'Cognito::UserPoolClient',
    'Lambda::LayerVersion',
  ])
    expect(bare.ofType(`AWS::${type}`)).toEqual([]);
  expect(bare.ofType('Custom::CDKBucketDeployment')).toEqual([]);
  expect(bare.kernel.Outputs.ConsoleUrl).toBeUndefined();
  expect(text(bare.kernel.Outputs.SignIn.Value)).toMatch(
    /--client-id <RevenueKernel-dev-Data:ExportsOutputRefIdentityUsersConsole/,
  );
});

test('the embedded stack sends the policies that CloudFront sends', () => {
  const url = 'http://127.0.0.1:1';
  const issuer = { url, authorization_endpoint: `${url}/authorize`, token_endpoint: `${url}/token` };
  const serve = consoleFiles(join(import.meta.dirname, '../../dist/console'), {
    stage: 'local',
    region: 'local',
    issuer,
  });
  const sent = serve({ method: 'GET', url: '/console', headers: {} } as IncomingMessage);
  const [, { ResponseHeadersPolicyConfig }] = plain.one('AWS::CloudFront::ResponseHeadersPolicy');
  const { SecurityHeadersConfig, CustomHeadersConfig } = ResponseHeadersPolicyConfig;
  const policy = text(SecurityHeadersConfig.ContentSecurityPolicy.ContentSecurityPolicy);
  expect(sent?.headers).toMatchObject({
    'content-security-policy': policy.replace(/https:\/\/revenue-kernel-\S+\.amazoncognito\.com/, url),
    'permissions-policy': CustomHeadersConfig.Items[0].Value,
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
  });
});

test('what a stage of the release before imports is still exported', () => {
  const exported = (stage: typeof plain) =>
    Object.values(stage.data.Outputs as Record<string, { Export?: { Name: string } }>)
      .map(({ Export }) => Export?.Name)
      .filter((name) => name !== undefined)
      .sort();
  expect(exported(plain)).toEqual(exported(staged({ console: false })));
});

test('the groups that the API asks for are there from the first deployment', () => {
  const groups = Object.values(plain.data.Resources as Record<string, Resource>)
    .filter(({ Type }) => Type === 'AWS::Cognito::UserPoolGroup')
    .map(({ Properties }) => Properties.GroupName);
  expect(groups.sort()).toEqual([finance_group, platform_admin_group, service_group].sort());
});

/** `/config.json` as the deployment writes it: each marker in the file becomes what the template says of it. */
function settingsOf(stage: typeof plain): unknown {
  const [, { SourceMarkers, SourceObjectKeys }] = stage.one(
    'Custom::CDKBucketDeployment',
    'ConsolePublishPages',
  );
  const folder = `asset.${SourceObjectKeys[1].replace('.zip', '')}`;
  let written = readFileSync(join(stage.directory, folder, 'config.json'), 'utf8');
  for (const [marker, value] of Object.entries(SourceMarkers[1]))
    written = written.replaceAll(marker, text(value));
  return JSON.parse(written);
}
