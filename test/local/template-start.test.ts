// A start that cannot go on stops with one sentence that names the cause, and leaves nothing running.
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, inject, test } from 'vitest';
import { openFolderFor } from '../../local/postgres/binaries.ts';
import { homeOf } from '../../local/postgres/cluster.ts';
import { startLocal } from '../../local/start.ts';
import { lockDirectory } from '../../local/state.ts';
import { copyMigratedStack } from '../support/migrated-stack.ts';

const root = mkdtempSync(join(tmpdir(), 'kernel-template-'));
afterAll(() => rmSync(root, { recursive: true }));

type Statements = { PolicyDocument: { Statement: { Action: unknown }[] } };
type Resources = Record<string, { Type: string; Properties?: Record<string, unknown> }>;

test.each<[string, (resources: Resources) => void, string]>([
  [
    'a resource type',
    (resources) => Object.assign(resources, { Fancy: { Type: 'AWS::Fancy::Thing' } }),
    'Kernel/Fancy uses AWS::Fancy::Thing, which the embedded stack neither emulates nor accepts.',
  ],
  [
    'an intrinsic in a resource that is emulated',
    (resources) => changeFirst(resources, 'AWS::Lambda::Function', { Description: { 'Fn::Fancy': ['a'] } }),
    'uses the intrinsic Fn::Fancy, which the embedded stack does not know.',
  ],
  [
    'an intrinsic in a resource that is only accepted',
    (resources) => changeFirst(resources, 'AWS::Logs::LogGroup', { LogGroupName: { 'Fn::Length': [1] } }),
    'uses the intrinsic Fn::Length, which the embedded stack does not know.',
  ],
])('%s: what is unknown is named, and nothing is left running', async (_name, change, sentence) => {
  const { assembly, directory } = prepare(change);
  const said: string[] = [];
  const start = startLocal({ directory, assembly, progress: (step) => said.push(step) });
  const error: Error = await start.then(
    () => expect.unreachable('it started'),
    (reason) => reason,
  );
  expect(error.message).toContain(sentence);
  expect(error.message.split('\n')).toHaveLength(1);
  expect(said).toEqual([]);
  expect(readdirSync(directory)).toEqual([]); // no lock, no data
});

test('what can be known only while resources are created stops the engines that run by then', async () => {
  const { assembly, directory } = prepare((resources) =>
    edit('IngestFunction', (properties) => Object.assign(properties, { Handler: { Ref: 'Ghost' } }))(
      resources,
    ),
  );
  copyMigratedStack(inject('migratedStack'), directory);
  const said: string[] = [];
  const start = startLocal({ directory, assembly, progress: (step) => said.push(step) });
  await expect(start).rejects.toThrow(/refers to Ghost, which \S+-Kernel does not hold\.$/);
  expect(said).toContain('Starting Postgres 17');
  const home =
    process.getuid?.() === 0 ? openFolderFor(join(directory, 'postgres')) : join(directory, 'postgres');
  expect(existsSync(join(home, 'data/PG_VERSION'))).toBe(true);
  expect(existsSync(join(home, 'data/postmaster.pid'))).toBe(false);
  expect(existsSync(join(directory, 'lock'))).toBe(false);

  // A fresh start removes what is there, also where it keeps data of root, and only once it can go on.
  await expect(startLocal({ directory, assembly: root, fresh: true })).rejects.toThrow('no cloud assembly');
  expect(existsSync(join(home, 'data/PG_VERSION'))).toBe(true);
  writeFileSync(join(home, 'left'), '');
  const stack = await startLocal({ directory, assembly: inject('assembly'), fresh: true });
  await stack.close();
  expect(stack.postgres.home).toBe(home);
  expect(existsSync(join(home, 'left'))).toBe(false);
  rmSync(home, { recursive: true });
});

const edit = (id: string, change: (properties: Statements) => void) => (resources: Resources) => {
  const [, found] = Object.entries(resources).find(([name]) => name.startsWith(id)) ?? [];
  change(found?.Properties as Statements);
};

test.each<[string, (resources: Resources) => void, RegExp]>([
  [
    'a policy with a condition',
    edit('DeliverRoleDefaultPolicy', ({ PolicyDocument: { Statement } }) => {
      Object.assign(Statement[0] as object, { Condition: { Bool: { 'aws:SecureTransport': 'true' } } });
    }),
    /^\S+Kernel\/DeliverRoleDefaultPolicy\w+ has the condition \{"Bool":\{"aws:SecureTransport":"true"\}\}, which the embedded stack cannot evaluate\.$/,
  ],
  [
    'an event source whose function may not take its messages',
    edit('DeliverRoleDefaultPolicy', ({ PolicyDocument }) => {
      PolicyDocument.Statement = PolicyDocument.Statement.filter(
        ({ Action }) => !JSON.stringify(Action).includes('sqs:'),
      );
    }),
    /^\S+Kernel\/DeliverLiveSqsEventSource\w+ cannot work: the role DeliverRole\w+ may not sqs:ReceiveMessage on arn:aws:sqs:\S+:DeliveryQueue\w+\.$/,
  ],
])('%s is named in one sentence, and the engines end', async (_name, change, sentence) => {
  const { assembly, directory } = prepare(change);
  copyMigratedStack(inject('migratedStack'), directory);
  await expect(startLocal({ directory, assembly })).rejects.toThrow(sentence);
  expect(existsSync(join(homeOf(join(directory, 'postgres')), 'data/postmaster.pid'))).toBe(false);
  expect(existsSync(join(directory, 'lock'))).toBe(false);
  rmSync(homeOf(join(directory, 'postgres')), { recursive: true });
});

test('a lock of a process that is gone, or whose number is another program now, is taken over', () => {
  const directory = mkdtempSync(join(root, 'locked-'));
  for (const left of ['999999999 1', `${process.ppid} 1`, `${process.pid} 1`, '']) {
    writeFileSync(join(directory, 'lock'), left);
    lockDirectory(directory)();
    expect(readdirSync(directory)).toEqual([]);
  }
});

function prepare(change: (resources: Resources) => void): { assembly: string; directory: string } {
  const assembly = mkdtempSync(join(root, 'cdk.out-'));
  cpSync(inject('assembly'), assembly, { recursive: true });
  const path = join(assembly, 'Kernel.template.json');
  const template = JSON.parse(readFileSync(path, 'utf8')) as { Resources: Resources };
  change(template.Resources);
  writeFileSync(path, JSON.stringify(template));
  return { assembly, directory: mkdtempSync(join(root, 'local-')) };
}

function changeFirst(resources: Resources, type: string, properties: Record<string, unknown>): void {
  const found = Object.values(resources).find(({ Type }) => Type === type);
  if (!found) throw new Error(`The template holds no ${type}.`);
  found.Properties = { ...found.Properties, ...properties };
}
