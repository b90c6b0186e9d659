// What AWS itself does with a role of the template when nobody calls: polling queues, invoking on schedule, keeping what failed.
//
// The local pollers and the clock do not pass the door with those roles, so what they would need is asked once, at the start.
import { type Grant, judge, type Role } from '../iam/policy.ts';
import type { Assembly } from './assembly.ts';
import type { Resolver } from './resolver.ts';
import type { Roles } from './roles.ts';

export interface ServiceNeed extends Grant {
  /** The resource of the template that makes AWS act. */
  place: string;
  role: Role;
}

/** What Lambda asks of the role of a function that it feeds from a queue. */
const POLLER = ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes'];

type Needs = (text: (path: string) => string | undefined, roles: Roles) => Omit<ServiceNeed, 'place'>[];

const NEEDS: Record<string, Needs> = {
  'AWS::Lambda::EventSourceMapping': (text, roles) =>
    POLLER.map((action) => ({
      role: roles.ofFunction(text('FunctionName') ?? ''),
      action,
      resource: text('EventSourceArn') ?? '',
    })),
  'AWS::Lambda::EventInvokeConfig': (text, roles) =>
    ['OnFailure', 'OnSuccess'].flatMap((when) => {
      const resource = text(`DestinationConfig.${when}.Destination`);
      const role = roles.ofFunction(text('FunctionName') ?? '');
      return resource === undefined ? [] : [{ role, action: 'sqs:SendMessage', resource }];
    }),
  'AWS::Scheduler::Schedule': (text, roles) => {
    const role = roles.byArn(text('Target.RoleArn') ?? '');
    const letters = text('Target.DeadLetterConfig.Arn');
    return [
      { role, action: 'lambda:InvokeFunction', resource: text('Target.Arn') ?? '' },
      ...(letters === undefined ? [] : [{ role, action: 'sqs:SendMessage', resource: letters }]),
    ];
  },
  'Custom::Trigger': (text, roles) => [
    {
      role: roles.ofFunction(text('ServiceToken') ?? ''),
      action: 'lambda:InvokeFunction',
      resource: text('HandlerArn') ?? '',
    },
  ],
};

export function serviceNeeds(assembly: Assembly, resolver: Resolver, roles: Roles): ServiceNeed[] {
  return assembly.stacks
    .flatMap(({ resources }) => resources)
    .flatMap((resource) => {
      const text = (path: string) => {
        const value = resolver.property(resource, path);
        return value === undefined ? undefined : String(value);
      };
      const place = `${resource.stack}/${resource.logicalId}`;
      return (NEEDS[resource.type]?.(text, roles) ?? []).map((need) => ({ place, ...need }));
    });
}

/** @throws Error with one sentence: what AWS would not be allowed to do, and by which role. */
export function checkServiceGrants(needs: readonly ServiceNeed[]): void {
  for (const { place, role, action, resource } of needs) {
    if (judge(role.statements, { action, resource }) === 'allowed') continue;
    throw new Error(`${place} cannot work: the role ${role.name} may not ${action} on ${resource}.`);
  }
}
