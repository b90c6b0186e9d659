// What to type after a deployment, with the ids that only the deployment knows, as outputs of the stack.
import { CfnOutput, type Stack } from 'aws-cdk-lib';
import type { DataStack } from './data-stack.ts';
import type { HttpApi } from './http-api.ts';
import type { TokenSource } from './identity.ts';

export function tellFirstCommands(
  stack: Stack,
  { identity, cronSecret }: DataStack,
  { url }: HttpApi,
  { TOKEN_CLIENT_ID }: TokenSource,
): void {
  const pool = identity.userPool.userPoolId;
  const user = `--user-pool-id ${pool} --username "$OPERATOR"`;
  const commands = {
    Connect: [
      `export KERNEL_URL=${url}`,
      `export KERNEL_CRON_SECRET=$(aws secretsmanager get-secret-value --secret-id ${cronSecret.secretArn} --query SecretString --output text)`,
    ],
    CreateOperator: [
      `aws cognito-idp admin-create-user ${user} --message-action SUPPRESS`,
      `aws cognito-idp admin-set-user-password ${user} --password "$PASSWORD" --permanent`,
      `aws cognito-idp admin-add-user-to-group ${user} --group-name platform-admin`,
    ],
    SignIn: [
      `export KERNEL_TOKEN=$(aws cognito-idp admin-initiate-auth --user-pool-id ${pool} --client-id ${TOKEN_CLIENT_ID} --auth-flow ADMIN_USER_PASSWORD_AUTH --auth-parameters USERNAME="$OPERATOR",PASSWORD="$PASSWORD" --query AuthenticationResult.AccessToken --output text)`,
    ],
  };
  for (const [id, parts] of Object.entries(commands)) new CfnOutput(stack, id, { value: parts.join(' && ') });
}
