// What the template says happens when: routes, event sources, schedules and the deploy-time trigger, bound to the functions.
import { SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { Api } from '../http/http-api.ts';
import { createEventSource, type EventSource } from '../lambda/event-source.ts';
import type { Functions } from '../lambda/functions.ts';
import { type Clock, systemClock } from '../schedule/clock.ts';
import { createSchedules, type Schedules } from '../schedule/schedule.ts';
import type { Resource } from './assembly.ts';
import type { Engines } from './provision.ts';
import { functionNameIn } from './roles.ts';

/** Consumers that run at once here; the machine is small and one already keeps up. */
const event_source_concurrency = 2;

export interface EventSources {
  /** Resolves when nothing is queued or in flight. */
  drained(): Promise<void>;
  stop(): Promise<void>;
}

export function apiOf(order: Resource[], { resolver, apiUrl }: Engines): Api[] {
  const integrations = new Map(
    order.filter(ofType('AWS::ApiGatewayV2::Integration')).map((resource) => [resource.logicalId, resource]),
  );
  return order.filter(ofType('AWS::ApiGatewayV2::Api')).map((api) => {
    const routes = order.filter(ofType('AWS::ApiGatewayV2::Route')).map((route) => {
      const target = String(resolver.property(route, 'Target')).replace('integrations/', '');
      const integration = integrations.get(target);
      if (!integration) throw new Error(`The route ${route.logicalId} has no integration ${target}.`);
      return {
        routeKey: String(resolver.property(route, 'RouteKey')),
        functionName: functionNameIn(String(resolver.property(integration, 'IntegrationUri'))),
        timeoutMs: Number(resolver.property(integration, 'TimeoutInMillis') ?? 30_000),
      };
    });
    const cors = resolver.property(api, 'CorsConfiguration') as Api['cors'];
    return { apiId: api.logicalId, routes, domainName: new URL(apiUrl).host, ...(cors && { cors }) };
  });
}

export function startEventSources(
  order: Resource[],
  { resolver, client, doorUrl }: Engines,
  functions: Functions,
): EventSources {
  const sources: EventSource[] = order.filter(ofType('AWS::Lambda::EventSourceMapping')).map((resource) => {
    const queueArn = String(resolver.property(resource, 'EventSourceArn'));
    const types = (resolver.property(resource, 'FunctionResponseTypes') ?? []) as string[];
    return createEventSource({
      queueArn,
      queueUrl: `${doorUrl}/000000000000/${queueArn.split(':').at(-1)}`,
      functionName: functionNameIn(String(resolver.property(resource, 'FunctionName'))),
      functions,
      client,
      batchSize: Number(resolver.property(resource, 'BatchSize') ?? 10),
      maximumBatchingWindowSeconds: Number(
        resolver.property(resource, 'MaximumBatchingWindowInSeconds') ?? 0,
      ),
      maximumConcurrency: event_source_concurrency,
      reportBatchItemFailures: types.includes('ReportBatchItemFailures'),
    });
  });
  return {
    drained: async () => void (await Promise.all(sources.map((source) => source.drained()))),
    stop: async () => void (await Promise.all(sources.map((source) => source.stop()))),
  };
}

export function startSchedules(
  order: Resource[],
  { resolver, client, doorUrl }: Engines,
  functions: Functions,
  clock: Clock = systemClock,
): Schedules {
  const definitions = order.filter(ofType('AWS::Scheduler::Schedule')).map((resource) => {
    const text = (path: string) => {
      const value = resolver.property(resource, path);
      return value === undefined ? undefined : String(value);
    };
    return {
      name: resource.logicalId,
      arn: `arn:aws:scheduler:${client.region}:000000000000:schedule/${text('GroupName') ?? 'default'}/${resource.logicalId}`,
      expression: text('ScheduleExpression') ?? '',
      functionName: functionNameIn(text('Target.Arn') ?? ''),
      timezone: text('ScheduleExpressionTimezone') ?? 'UTC',
      ...(text('State') && { state: text('State') as 'ENABLED' }),
      ...(text('Target.Input') && { input: text('Target.Input') as string }),
      ...(text('Target.DeadLetterConfig.Arn') && {
        deadLetterArn: text('Target.DeadLetterConfig.Arn') as string,
      }),
    };
  });
  const sqs = new SQSClient(client);
  return createSchedules(definitions, {
    functions,
    clock,
    onDeadLetter: async ({ arn, input }) => {
      if (arn === undefined) return;
      const QueueUrl = `${doorUrl}/000000000000/${arn.split(':').at(-1)}`;
      await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: input }));
    },
  });
}

/** The functions that a deployment runs before new code serves: here as there, the migrations. */
export function triggerOf(order: Resource[], { resolver }: Engines): string[] {
  return order
    .filter(ofType('Custom::Trigger'))
    .map((resource) => functionNameIn(String(resolver.property(resource, 'HandlerArn'))));
}

function ofType(type: string) {
  return (resource: Resource) => resource.type === type;
}
