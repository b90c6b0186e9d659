// How a new version takes over in each stage: migrations, then a tenth of the calls, then all, and back when an alarm says so.
import type { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { afterAll, describe, expect, test } from 'vitest';
import { STAGE_NAMES } from '../../infra/config.ts';
import { freshApp, ofType, type Resource, removeAssemblies, synthesized } from './assembly.ts';

afterAll(removeAssemblies);

const RELEASED = ['Api', 'Deliver', 'Ingest', 'Money', 'Webhook'];
const GROUP = 'AWS::CodeDeploy::DeploymentGroup';
const partOf = (id: string) => id.replace(/(Live|Function)\w*$/, '');

describe.each(STAGE_NAMES)('a release of %s', (name) => {
  const stage = synthesized(name);
  const aliases = ofType(stage, 'AWS::Lambda::Alias');
  const referred = (node: unknown): Resource[] =>
    [...JSON.stringify(node).matchAll(/"(?:Ref|Fn::GetAtt)":\[?"(\w+)"/g)].flatMap(
      ([, id]) => stage.resources.get(id as string) ?? [],
    );

  test('moves the alias of each function that people wait for, a tenth at first where customers are', () => {
    expect(aliases.map(([id]) => partOf(id)).sort()).toEqual(RELEASED);
    for (const [, alias] of aliases) {
      const { UpdatePolicy } = alias as Resource & {
        UpdatePolicy: { CodeDeployLambdaAliasUpdate: { DeploymentGroupName: { Ref: string } } };
      };
      const group = stage.resources.get(UpdatePolicy.CodeDeployLambdaAliasUpdate.DeploymentGroupName.Ref);
      expect(group?.Properties.DeploymentConfigName).toBe(
        name === 'dev'
          ? 'CodeDeployDefault.LambdaAllAtOnce'
          : 'CodeDeployDefault.LambdaCanary10Percent5Minutes',
      );
    }
  });

  test('is taken back by the alarms of its own function and of the API, and by nothing that is merely missing', () => {
    for (const [id, { Properties }] of ofType(stage, GROUP)) {
      expect(Properties.AutoRollbackConfiguration).toEqual({
        Enabled: true,
        Events: ['DEPLOYMENT_FAILURE', 'DEPLOYMENT_STOP_ON_REQUEST', 'DEPLOYMENT_STOP_ON_ALARM'],
      });
      expect(Properties.AlarmConfiguration.Enabled).toBe(true);
      const alarms = referred(Properties.AlarmConfiguration.Alarms).filter(
        ({ Type }) => Type === 'AWS::CloudWatch::Alarm',
      );
      const own = alarms.filter((alarm) => JSON.stringify(alarm).includes(':live'));
      expect(own).toHaveLength(1);
      const [failed] = own as [Resource];
      const part = id.replace(/^Releases|[0-9A-F]{8}$/g, '');
      expect(referred(failed.Properties.Metrics)[0]?.Properties.FunctionName).toBe(
        `revenue-kernel-${name}-${part.toLowerCase()}`,
      );
      const unanswered = alarms.find((alarm) => JSON.stringify(alarm.Properties.Metrics).includes('"5xx"'));
      for (const alarm of [failed, unanswered as Resource]) {
        const { TreatMissingData, EvaluationPeriods, DatapointsToAlarm } = alarm.Properties;
        expect([TreatMissingData, DatapointsToAlarm, EvaluationPeriods]).toEqual(['notBreaching', 2, 3]);
      }
    }
  });

  test('reaches every caller by the alias: routes, queues and what the API may invoke', () => {
    const integrations = ofType(stage, 'AWS::ApiGatewayV2::Integration').map(
      ([, { Properties }]) => Properties.IntegrationUri,
    );
    const sources = ofType(stage, 'AWS::Lambda::EventSourceMapping').map(
      ([, { Properties }]) => Properties.FunctionName,
    );
    const permissions = ofType(stage, 'AWS::Lambda::Permission').map(
      ([, { Properties }]) => Properties.FunctionName,
    );
    for (const called of [...integrations, ...sources, ...permissions]) {
      const [target] = referred(called) as [Resource];
      const entry: string =
        referred(target.Properties.FunctionName)[0]?.Properties.FunctionName ??
        target.Properties.FunctionName;
      const part = entry.replace(`revenue-kernel-${name}-`, '');
      const released = RELEASED.some((one) => one.toLowerCase() === part);
      expect([part, target.Type]).toEqual([part, released ? 'AWS::Lambda::Alias' : 'AWS::Lambda::Function']);
    }
    expect(integrations).toHaveLength(4 + 10); // the doors of people, and the jobs that have a path
  });

  test('keeps the version that it replaces, and comes after the migrations', () => {
    const [[trigger] = ['']] = ofType(stage, 'Custom::Trigger');
    const versions = ofType(stage, 'AWS::Lambda::Version').filter(([id]) => !id.startsWith('Migrations'));
    expect(versions).toHaveLength(RELEASED.length);
    for (const [, version] of versions) {
      expect(version.DeletionPolicy).toBe('RetainExceptOnCreate');
      expect(version.DependsOn).toContain(trigger);
    }
  });

  test('is carried out by a role that can move these aliases only', () => {
    const roles = [
      ...new Set(
        ofType(stage, GROUP).map(([, { Properties }]) => Properties.ServiceRoleArn['Fn::GetAtt'][0]),
      ),
    ];
    expect(roles).toHaveLength(1);
    const { Properties } = stage.resources.get(roles[0]) as Resource;
    const [{ Action, Resource: on }] = Properties.Policies[0].PolicyDocument.Statement;
    expect(Action).toEqual([
      'lambda:GetAlias',
      'lambda:GetProvisionedConcurrencyConfig',
      'lambda:UpdateAlias',
    ]);
    expect(on).toHaveLength(2 * RELEASED.length); // the function by itself and by its alias
  });
});

test('a hotfix takes over at once, whatever the alarms say', () => {
  const app = freshApp('prod', undefined, { hotfix: 'true' });
  const groups = Object.values(
    Template.fromStack(app.node.findChild('Kernel') as Stack).findResources(GROUP),
  );
  expect(groups).toHaveLength(RELEASED.length);
  for (const { Properties } of groups) {
    expect(Properties.DeploymentConfigName).toBe('CodeDeployDefault.LambdaAllAtOnce');
    expect(Properties.AlarmConfiguration?.Enabled ?? false).toBe(false);
    expect(Properties.AutoRollbackConfiguration.Events).not.toContain('DEPLOYMENT_STOP_ON_ALARM');
  }
});
