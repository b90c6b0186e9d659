// Who may sign in: a Cognito user pool without self sign-up, its groups, and the public clients of consoles.
import { Aws, Duration, Validations } from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import { Construct } from 'constructs';
import type { KernelConfig } from './config.ts';

/** Whose tokens a function takes. */
export interface TokenSource {
  readonly TOKEN_ISSUER: string;
  readonly TOKEN_CLIENT_ID: string;
}

export class Identity extends Construct {
  readonly userPool: cognito.UserPool;
  /** Of a stage without a console: that of a console knows its address, which the other stack makes. */
  readonly client: cognito.UserPoolClient;

  constructor(scope: Construct, id: string, config: KernelConfig) {
    super(scope, id);
    this.userPool = this.createPool(config);
    if (!config.guardedSignIn) acknowledgeUnguarded(this.userPool);
    // Members administer the platform across all tenants; everybody else's rights are rows of the ledger.
    this.userPool.addGroup('PlatformAdmin', { groupName: 'platform-admin' });
    // Of the tenant `default`; the finance of another tenant is a group `finance:TENANT`, which is made with the tenant.
    this.userPool.addGroup('Finance', { groupName: 'finance' });
    this.userPool.addGroup('Service', { groupName: 'service' });
    this.userPool.addDomain('Domain', { cognitoDomain: { domainPrefix: domainPrefix(config) } });
    this.client = this.userPool.addClient('Console', clientOf(config.consoleUrls, config.consoleUrls));
  }

  private createPool(config: KernelConfig): cognito.UserPool {
    const guarded = config.guardedSignIn;
    return new cognito.UserPool(this, 'Users', {
      selfSignUpEnabled: false,
      signInAliases: { email: true },
      signInCaseSensitive: false,
      autoVerify: { email: true },
      accountRecovery: cognito.AccountRecovery.EMAIL_ONLY,
      passwordPolicy: {
        minLength: 12,
        requireLowercase: true,
        requireUppercase: true,
        requireDigits: true,
        requireSymbols: true,
        tempPasswordValidity: Duration.days(3),
      },
      mfa: guarded ? cognito.Mfa.REQUIRED : cognito.Mfa.OPTIONAL,
      mfaSecondFactor: { otp: true, sms: false },
      featurePlan: guarded ? cognito.FeaturePlan.PLUS : cognito.FeaturePlan.ESSENTIALS,
      ...(guarded && { standardThreatProtectionMode: cognito.StandardThreatProtectionMode.FULL_FUNCTION }),
      deletionProtection: config.protect,
      removalPolicy: config.removalPolicy,
    });
  }
}

/** The public client of a console: where Cognito sends its users back to after they signed in, and after they left. */
export function clientOf(
  callbackUrls: readonly string[],
  logoutUrls: readonly string[],
): cognito.UserPoolClientOptions {
  return {
    generateSecret: false, // a browser cannot keep one: the code is bound by PKCE instead
    // For operators, who sign in with the rights of IAM and a password: no browser is needed to set a stage up.
    authFlows: { adminUserPassword: true },
    preventUserExistenceErrors: true,
    enableTokenRevocation: true,
    supportedIdentityProviders: [cognito.UserPoolClientIdentityProvider.COGNITO],
    oAuth: {
      flows: { authorizationCodeGrant: true },
      scopes: [cognito.OAuthScope.OPENID, cognito.OAuthScope.EMAIL, cognito.OAuthScope.PROFILE],
      callbackUrls: [...callbackUrls],
      logoutUrls: [...logoutUrls],
    },
    accessTokenValidity: Duration.hours(1),
    idTokenValidity: Duration.hours(1),
    refreshTokenValidity: Duration.hours(12),
  };
}

/** Where Cognito shows its page; made of the prefix alone, so that whoever names it waits for nothing. */
export function signInOrigin(config: KernelConfig, region: string): string {
  return `https://${domainPrefix(config)}.auth.${region}.amazoncognito.com`;
}

function domainPrefix({ stage }: KernelConfig): string {
  return `revenue-kernel-${stage}-${Aws.ACCOUNT_ID}`;
}

function acknowledgeUnguarded(pool: cognito.UserPool): void {
  Validations.of(pool).acknowledge(
    {
      id: 'AwsSolutions-COG2',
      reason:
        'Only developers sign in to this stage, and it holds no customer data; prod requires a second factor.',
    },
    {
      id: 'AwsSolutions-COG8',
      reason: 'The Plus plan is paid per user, and users of this stage are created by hand; prod has it.',
    },
  );
}
