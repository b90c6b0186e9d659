// The way of a pipeline into a stage: a role that GitHub takes on for minutes, by its word and without a key.
import { CfnOutput, Duration, Stack, type StackProps } from 'aws-cdk-lib';
import {
  OidcProviderNative,
  PolicyDocument,
  PolicyStatement,
  Role,
  WebIdentityPrincipal,
} from 'aws-cdk-lib/aws-iam';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import type { KernelConfig } from './config.ts';
import { EDGE_REGION } from './edge.ts';

const ISSUER = 'token.actions.githubusercontent.com';
/** The roles of `cdk bootstrap`, which may do what a deployment does. */
const CDK_ROLES = ['deploy-role', 'file-publishing-role', 'lookup-role'];

export interface PipelineStackProps extends StackProps {
  readonly config: KernelConfig;
  /** `owner/name` on GitHub. */
  readonly repository: string;
  /** Whether the account knows GitHub already: it takes one provider only. */
  readonly providerExists: boolean;
  /** Starts the watchtower after a deployment. */
  readonly cronSecret: ISecret;
}

export class PipelineStack extends Stack {
  constructor(scope: Construct, id: string, props: PipelineStackProps) {
    super(scope, id, props);
    const { config, repository, cronSecret } = props;
    if (!/^[\w.-]+\/[\w.-]+$/.test(repository))
      throw new Error(`The repository "${repository}" is not of the form owner/name.`);
    const provider = props.providerExists
      ? `arn:${this.partition}:iam::${this.account}:oidc-provider/${ISSUER}`
      : new OidcProviderNative(this, 'GitHub', {
          url: `https://${ISSUER}`,
          clientIds: ['sts.amazonaws.com'],
        }).oidcProviderArn;
    const role = new Role(this, 'Role', {
      roleName: `revenue-kernel-${config.stage}-pipeline`,
      description: 'Deploys the stage from a protected environment of GitHub',
      maxSessionDuration: Duration.hours(1),
      // Only a job of this environment, whose rules say which branches and people may start it.
      assumedBy: new WebIdentityPrincipal(provider, {
        StringEquals: {
          [`${ISSUER}:aud`]: 'sts.amazonaws.com',
          [`${ISSUER}:sub`]: `repo:${repository}:environment:${config.stage}`,
        },
      }),
      inlinePolicies: {
        Deploy: new PolicyDocument({
          statements: [
            new PolicyStatement({ actions: ['sts:AssumeRole'], resources: this.bootstrapRoles(config) }),
            new PolicyStatement({
              actions: ['secretsmanager:GetSecretValue'],
              resources: [cronSecret.secretArn],
            }),
          ],
        }),
      },
    });
    new CfnOutput(this, 'RoleArn', { value: role.roleArn });
  }

  private bootstrapRoles({ edge }: KernelConfig): string[] {
    const regions = [this.region, ...(edge ? [EDGE_REGION] : [])];
    return regions.flatMap((region) =>
      CDK_ROLES.map(
        (name) =>
          `arn:${this.partition}:iam::${this.account}:role/cdk-hnb659fds-${name}-${this.account}-${region}`,
      ),
    );
  }
}
