// The backup that survives the account: a daily snapshot of the ledger in a locked vault, and a copy in a vault elsewhere.
import { Arn, ArnFormat, Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import * as backup from 'aws-cdk-lib/aws-backup';
import { Schedule } from 'aws-cdk-lib/aws-events';
import { AccountPrincipal, ManagedPolicy, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import type { Ledger } from './ledger.ts';
import type { BackupSettings } from './stage-options.ts';

const POLICY = 'service-role/AWSBackupServiceRolePolicyForBackup';

export function backUp(scope: Construct, { copyToVaultArn, days }: BackupSettings, ledger: Ledger): void {
  const parts = new Construct(scope, 'Backup');
  const kept = Duration.days(days);
  const vault = new backup.BackupVault(parts, 'Vault', {
    lockConfiguration: { minRetention: kept }, // nobody deletes a snapshot, or lets it end, before its time
    removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
  });
  const plan = new backup.BackupPlan(parts, 'Plan', {
    backupVault: vault,
    backupPlanRules: [
      new backup.BackupPlanRule({
        ruleName: 'Daily',
        scheduleExpression: Schedule.cron({ hour: '5', minute: '0' }),
        startWindow: Duration.hours(1),
        completionWindow: Duration.hours(6),
        deleteAfter: kept,
        copyActions: [
          {
            destinationBackupVault: backup.BackupVault.fromBackupVaultArn(parts, 'Elsewhere', copyToVaultArn),
            deleteAfter: kept,
          },
        ],
      }),
    ],
  });
  plan.addSelection('Ledger', {
    role: backupRole(parts),
    resources: [backup.BackupResource.fromArn(ledger.cluster.clusterArn)],
  });
  // Copied under another key there, but read under this one.
  const { account } = Arn.split(copyToVaultArn, ArnFormat.COLON_RESOURCE_NAME);
  if (account) ledger.key?.grantEncryptDecrypt(new AccountPrincipal(account));
}

function backupRole(scope: Construct): Role {
  const role = new Role(scope, 'Role', {
    assumedBy: new ServicePrincipal('backup.amazonaws.com'),
    managedPolicies: [ManagedPolicy.fromAwsManagedPolicyName(POLICY)],
  });
  Validations.of(role).acknowledge({
    id: `AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/${POLICY}]`,
    reason:
      'What AWS Backup needs for a snapshot changes with AWS Backup; this policy of its own follows, and only it assumes the role.',
  });
  return role;
}
