// The front door: an HTTP API that passes each request to a function and writes one access log line.
import { CfnOutput, Duration, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import { AccessLogFormat } from 'aws-cdk-lib/aws-apigateway';
import * as apigateway from 'aws-cdk-lib/aws-apigatewayv2';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import { Certificate } from 'aws-cdk-lib/aws-certificatemanager';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import type { KernelConfig } from './config.ts';
import type { AnyFunction } from './function.ts';
import type { NameSettings } from './stage-options.ts';

/** Names no header, query or body: those carry keys and personal data. */
const ACCESS_LOG = {
  requestId: '$context.requestId',
  time: '$context.requestTime',
  method: '$context.httpMethod',
  routeKey: '$context.routeKey',
  path: '$context.path',
  status: '$context.status',
  responseLatency: '$context.responseLatency',
  integrationLatency: '$context.integrationLatency',
  integrationError: '$context.integrationErrorMessage',
  responseLength: '$context.responseLength',
  ip: '$context.identity.sourceIp',
};

export interface Route {
  /** `GET` or `ANY`, a blank, and the path. */
  readonly key: `${'ANY' | 'GET' | 'POST'} /${string}`;
  /** How the function knows who calls, since the gateway lets everybody through. */
  readonly authenticatedBy: string;
}

export class HttpApi extends Construct {
  readonly api: apigateway.HttpApi;
  readonly stage: apigateway.HttpStage;
  /** The name by which an edge reaches the API. */
  readonly originName: string;
  private edge: { readonly url: string; readonly originSecret: ISecret } | undefined;
  private readonly guarded = new Set<AnyFunction>();

  constructor(scope: Construct, id: string, config: KernelConfig) {
    super(scope, id);
    this.api = new apigateway.HttpApi(this, 'Api', {
      apiName: `revenue-kernel-${config.stage}`,
      createDefaultStage: false,
      ...(config.edge?.origin && { disableExecuteApiEndpoint: true }),
    });
    const logs = new LogGroup(this, 'AccessLogs', {
      logGroupName: `/aws/apigateway/revenue-kernel-${config.stage}`,
      retention: config.logRetention,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    this.stage = this.api.addStage('Stage', {
      stageName: '$default',
      autoDeploy: true,
      throttle: { rateLimit: config.throttle.rate, burstLimit: config.throttle.burst },
      detailedMetricsEnabled: true,
      accessLogSettings: {
        destination: new apigateway.LogGroupLogDestination(logs),
        format: AccessLogFormat.custom(JSON.stringify(ACCESS_LOG)),
      },
    });
    const own = `${this.api.apiId}.execute-api.${Stack.of(this).region}.amazonaws.com`;
    this.originName = config.edge?.origin ? this.nameAs(config.edge.origin) : own;
  }

  /** What callers are told. */
  get url(): string {
    return this.edge?.url ?? this.api.apiEndpoint;
  }

  /** Lets in only what comes through the edge: each function that a route names asks for the secret. Before the first route. */
  behind(url: string, originSecret: ISecret): void {
    this.edge = { url, originSecret };
  }

  private nameAs({ domainName, certificateArn }: NameSettings): string {
    const name = new apigateway.DomainName(this, 'Name', {
      domainName,
      certificate: Certificate.fromCertificateArn(this, 'Certificate', certificateArn),
    });
    new apigateway.ApiMapping(this, 'Mapping', { api: this.api, domainName: name, stage: this.stage });
    new CfnOutput(Stack.of(this), 'OriginTarget', { value: name.regionalDomainName });
    return domainName;
  }

  private guard(target: AnyFunction): void {
    if (this.edge === undefined || this.guarded.has(target)) return;
    const { secretArn } = this.edge.originSecret;
    target.lambda.addEnvironment('ORIGIN_SECRET_ARN', secretArn);
    target.allow(['secretsmanager:GetSecretValue'], secretArn);
    this.guarded.add(target);
  }

  /** Sends the routes to one function. */
  route(id: string, target: AnyFunction, ...routes: Route[]): void {
    this.guard(target);
    const integration = new HttpLambdaIntegration(id, target.invoked, {
      // What the gateway allows at most, or less. Functions end before it, so that they are the ones who say that it took
      // too long; `cleanup`, which may run far longer on its schedule, watches the time of a call over HTTP by itself.
      timeout: Duration.seconds(29),
    });
    for (const { key, authenticatedBy } of routes) {
      const [method, path] = key.split(' ') as [keyof typeof apigateway.HttpMethod, string];
      const made = this.api.addRoutes({ path, methods: [apigateway.HttpMethod[method]], integration });
      for (const one of made) {
        Validations.of(one).acknowledge({ id: 'AwsSolutions-APIG4', reason: authenticatedBy });
      }
    }
  }
}
