// The console: files in a private bucket that CloudFront serves on the origin of the API, and the client by which people sign in.
import { CfnOutput, Stack } from 'aws-cdk-lib';
import { UserPoolClient } from 'aws-cdk-lib/aws-cognito';
import { Construct } from 'constructs';
import { consoleBucket } from './buckets.ts';
import type { KernelConfig } from './config.ts';
import { serveConsole } from './console-distribution.ts';
import { ConsoleFiles } from './console-files.ts';
import type { Edge } from './edge.ts';
import type { AnyFunction } from './function.ts';
import { clientOf, type Identity, signInOrigin } from './identity.ts';

/** What the words of the console are written in; the first is for those who ask for none of them. */
const LANGUAGES = ['en', 'tr'];

export interface WebConsoleProps {
  readonly config: KernelConfig;
  readonly identity: Identity;
  /** The name by which the API is reached. */
  readonly originName: string;
  /** Where the stage has one: the console lives there too. */
  readonly edge: Edge | undefined;
}

export class WebConsole extends Construct {
  readonly client: UserPoolClient;
  private readonly files: ConsoleFiles;

  constructor(scope: Construct, id: string, { config, identity, originName, edge }: WebConsoleProps) {
    super(scope, id);
    const { region } = Stack.of(this);
    const signIn = signInOrigin(config, region);
    const bucket = consoleBucket(this);
    // The client names the distribution and the settings name the client: the distribution itself may name neither.
    const origin = serveConsole(this, { config, bucket, originName, edge, signIn });
    const places = [`${origin}/console`, ...config.consoleUrls];
    this.client = new UserPoolClient(this, 'Client', {
      userPool: identity.userPool,
      ...clientOf(
        places.map((url) => `${url}/signed-in`),
        places,
      ),
    });
    this.files = new ConsoleFiles(this, 'Publish', {
      config,
      bucket,
      settings: {
        stage: config.stage,
        build: config.build.commitSha,
        region,
        issuer: identity.userPool.userPoolProviderUrl,
        client_id: this.client.userPoolClientId,
        authorization_endpoint: `${signIn}/oauth2/authorize`,
        token_endpoint: `${signIn}/oauth2/token`,
        end_session_endpoint: `${signIn}/logout`,
        languages: LANGUAGES,
      },
    });
    new CfnOutput(Stack.of(this), 'ConsoleUrl', { value: `${origin}/console` });
  }

  /** The functions that its pages call. */
  publishAfter(...functions: readonly AnyFunction[]): void {
    this.files.publishAfter(...functions);
  }
}
