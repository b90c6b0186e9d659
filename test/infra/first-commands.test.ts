// What a deployment prints to be typed next: run in a shell as it stands, with an AWS command line that writes down what it is asked.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { afterAll, expect, test } from 'vitest';
import { freshApp, removeAssemblies } from './assembly.ts';

const folder = mkdtempSync(join(tmpdir(), 'kernel-commands-'));
afterAll(() => {
  removeAssemblies();
  rmSync(folder, { recursive: true, force: true });
});

/** An output as CloudFormation prints it, with a word for everything that only a deployment knows. */
function printed(node: unknown): string {
  if (typeof node === 'string') return node;
  const [[name, given] = ['', '']] = Object.entries(node as object);
  if (name === 'Fn::Join') return (given[1] as unknown[]).map(printed).join(given[0]);
  return /UserPoolClient|Console/.test(JSON.stringify(given))
    ? 'client'
    : /Users/.test(JSON.stringify(given))
      ? 'pool'
      : 'known-later';
}

test('the first commands make an operator, sign in, and say where the stage is', () => {
  const outputs = Template.fromStack(freshApp('dev').node.findChild('Kernel') as Stack).toJSON().Outputs;
  const [create, signIn, connect] = ['CreateOperator', 'SignIn', 'Connect'].map((id) =>
    printed(outputs[id].Value),
  );
  const log = join(folder, 'asked');
  const script = [
    `aws() { printf '%s ' "$@" >> '${log}'; echo >> '${log}'; echo "answer-of-$2"; }`,
    `export OPERATOR='you@example.com' PASSWORD='Twelve or $more-1'`,
    ...[create, signIn, connect].map(
      (command) => `eval ${JSON.stringify(command).replaceAll('$', '\\$')} > /dev/null`,
    ),
    'printf "%s\\n" "$KERNEL_TOKEN" "$KERNEL_URL" "$KERNEL_CRON_SECRET"',
  ].join('\n');
  const said = execFileSync('bash', ['-euc', script], {
    encoding: 'utf8',
    env: { ...process.env, BASH_ENV: '' },
  })
    .trim()
    .split('\n');
  expect(said).toEqual(['answer-of-admin-initiate-auth', 'known-later', 'answer-of-get-secret-value']);
  const asked = readFileSync(log, 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.trim());
  expect(asked.map((line) => line.split(' ')[1])).toEqual([
    'admin-create-user',
    'admin-set-user-password',
    'admin-add-user-to-group',
    'admin-initiate-auth',
    'get-secret-value',
  ]);
  expect(asked[1]).toBe(
    'cognito-idp admin-set-user-password --user-pool-id pool --username you@example.com --password Twelve or $more-1 --permanent',
  );
  expect(asked[3]).toContain('--client-id client --auth-flow ADMIN_USER_PASSWORD_AUTH');
  expect(asked[3]).toContain('USERNAME=you@example.com,PASSWORD=Twelve or $more-1');
});
