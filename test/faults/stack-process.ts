// An embedded stack in a process of its own, for a test to kill; it ends with the process that holds its standard input.
// Usage: node test/faults/stack-process.ts <directory> <assembly> <port>; prints one line of JSON when it is ready.
import { demoUsers } from '../../local/issuer.ts';
import { startLocal } from '../../local/start.ts';

export interface Ready {
  url: string;
  superuser_url: string;
  admin_token: string;
  cron_secret: string;
}

const [directory = '', assembly = '', port = ''] = process.argv.slice(2);
process.stdin.on('end', () => process.exit(0)).resume();
const stack = await startLocal({ directory, assembly, port: Number(port), durable: true });
const admin = demoUsers.find(({ role }) => role === 'platform-admin') as (typeof demoUsers)[0];
const { ref } = stack.resource('AWS::SecretsManager::Secret', 'CronSecret');
const ready: Ready = {
  url: stack.url,
  superuser_url: stack.postgres.superuserUrl,
  admin_token: await stack.issuer.token(admin),
  cron_secret: stack.state.secret(ref.split(':').at(-1) ?? ''),
};
process.stdout.write(`${JSON.stringify(ready)}\n`);
