// The workflows of GitHub: every pull request is checked and searched for secrets, and a deployment holds no key and passes its gates first.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { freshApp, removeAssemblies } from './assembly.ts';

afterAll(removeAssemblies);

const ROOT = join(import.meta.dirname, '../..');
const FOLDER = join(ROOT, '.github/workflows');
const CREDENTIALS = 'aws-actions/configure-aws-credentials';

interface Step {
  readonly name?: string;
  readonly uses?: string;
  readonly run?: string;
  readonly if?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}
interface Job {
  readonly permissions?: Readonly<Record<string, string>>;
  readonly environment?: string;
  readonly needs?: string;
  readonly uses?: string;
  readonly 'timeout-minutes'?: number;
  readonly steps?: readonly Step[];
}
interface Workflow {
  readonly on: Readonly<Record<string, unknown>>;
  readonly permissions: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, Job>>;
}

// The parser that CDK brings along.
const { parse } = createRequire(import.meta.resolve('aws-cdk-lib'))('yaml') as {
  parse(text: string): Workflow;
};
const workflows = new Map(
  readdirSync(FOLDER).map((name) => [name, parse(readFileSync(join(FOLDER, name), 'utf8'))]),
);
const workflow = (name: string) => workflows.get(name) as Workflow;
const jobsOf = ({ jobs }: Workflow) => Object.entries(jobs);
const stepsOf = (job: Job) => job.steps ?? [];
const uses = (job: Job, action: string) => stepsOf(job).filter((step) => step.uses?.startsWith(`${action}@`));

describe.each([...workflows.keys()])('%s', (name) => {
  const { on, permissions, jobs } = workflow(name);

  test('runs only actions that a commit hash names, and its own', () => {
    for (const job of Object.values(jobs)) {
      if (job.uses !== undefined) expect(job.uses).toMatch(/^\.\/\.github\/workflows\/[\w-]+\.yml$/);
      for (const step of stepsOf(job).filter((one) => one.uses !== undefined))
        expect(step.uses).toMatch(/^[\w-]+\/[\w-]+@[0-9a-f]{40}$/);
    }
  });

  test('may write nothing, runs a bounded time, and never runs a stranger with the rights of the repository', () => {
    expect(Object.keys(on)).not.toContain('pull_request_target');
    for (const granted of [permissions, ...Object.values(jobs).map((job) => job.permissions ?? {})])
      for (const [scope, level] of Object.entries(granted)) {
        if (scope === 'id-token')
          expect(jobsOf(workflow(name)).some(([, job]) => job.permissions === granted)).toBe(true);
        else expect(level).toBe('read');
      }
    for (const job of Object.values(jobs).filter((one) => one.uses === undefined))
      expect(job['timeout-minutes']).toBeLessThanOrEqual(60);
  });

  test('holds no long-lived key, and puts nothing that a person typed into a script', () => {
    expect(JSON.stringify(jobs)).not.toMatch(/aws[-_](access|secret)[-_](access[-_])?key/i);
    for (const [, job] of jobsOf(workflow(name))) {
      for (const { with: given } of uses(job, CREDENTIALS)) expect(given?.['role-to-assume']).toBeTruthy();
      if (uses(job, CREDENTIALS).length > 0) expect(job.permissions?.['id-token']).toBe('write');
      for (const { run } of stepsOf(job).filter((step) => step.run !== undefined)) {
        expect(run).not.toContain('${{');
        execFileSync('bash', ['-n'], { input: run as string }); // throws where the script has no syntax
      }
    }
  });
});

describe('a pull request', () => {
  const { on, jobs } = workflow('pull-request.yml');

  test('is checked as a person checks it, with the history that the previous release lies in', () => {
    expect(Object.keys(on)).toEqual(['pull_request']);
    const job = jobs.check as Job;
    expect(stepsOf(job).flatMap(({ run }) => run ?? [])).toEqual(['npm ci', 'npm run check']);
    expect(uses(job, 'actions/checkout')[0]?.with?.['fetch-depth']).toBe(0);
  });

  test('is searched for secrets, commit by commit', () => {
    const job = jobs.secrets as Job;
    expect(uses(job, 'gitleaks/gitleaks-action')).toHaveLength(1);
    expect(uses(job, 'actions/checkout')[0]?.with?.['fetch-depth']).toBe(0);
  });
});

describe('a deployment', () => {
  const { on, jobs } = workflow('deploy.yml');
  const deploy = jobs.deploy as Job;
  const position = (part: string) => stepsOf(deploy).findIndex(({ run }) => run?.includes(part));

  test('is started by a person, for a stage whose environment says who that may be', () => {
    expect(Object.keys(on)).toEqual(['workflow_dispatch']);
    expect(deploy.environment).toContain('inputs.stage');
  });

  test('compares first, refuses to lose data unless told, deploys, and then asks what serves', () => {
    expect(deploy.needs).toBe('drift');
    const order = ['cdk diff Data', 'cdk deploy', 'x-opsmantik-commit'].map(position);
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(order).not.toContain(-1);
    const gate = stepsOf(deploy)[position('cdk diff Data')];
    expect(gate?.run).toContain('--fail-on=destructive');
    expect(gate?.if).toContain('!inputs.accept_destructive');
    expect(position('npx kernel watchtower')).toBe(order[2]);
  });

  test('calls the CDK with options that it knows', () => {
    const all = [...workflows.values()].flatMap(jobsOf).flatMap(([, job]) => stepsOf(job));
    const commands = all.flatMap(({ run }) => [...(run ?? '').matchAll(/npx cdk (\w+) (.*)/g)]);
    expect(commands.length).toBeGreaterThanOrEqual(4);
    const help = new Map<string, string>();
    for (const [, command = '', given = ''] of commands) {
      const text =
        help.get(command) ??
        execFileSync(process.execPath, [join(ROOT, 'node_modules/aws-cdk/bin/cdk'), command, '--help'], {
          encoding: 'utf8',
        });
      help.set(command, text);
      for (const [option] of given.matchAll(/(?<=\s|^)--?[a-z-]+/g))
        expect(text).toMatch(new RegExp(`(^|\\s)${option}[,\\s]`, 'm'));
    }
  });

  test.each([
    ['passes when a table only gains a tag', false],
    ['is shut when a table would go', true],
  ])('its gate %s', (_name, gone) => {
    const folder = mkdtempSync(join(tmpdir(), 'kernel-gate-'));
    const { directory } = freshApp('dev').synth();
    const deployed = JSON.parse(readFileSync(join(directory, 'Data.template.json'), 'utf8'));
    const [id, table] = Object.entries(deployed.Resources).find(
      ([, one]) => (one as { Type: string }).Type === 'AWS::DynamoDB::GlobalTable',
    ) as [string, { Properties: { Replicas: { Tags: unknown[] }[] } }];
    if (gone) deployed.Resources.Former = table;
    else deployed.Resources[id].Properties.Replicas[0].Tags = [];
    writeFileSync(join(folder, 'deployed.json'), JSON.stringify(deployed));
    const given = ['--app', directory, '--template', join(folder, 'deployed.json')];
    const gate = stepsOf(deploy)[position('cdk diff Data')]?.run?.replace(
      /^npx cdk |-c stage="\$STAGE"/g,
      '',
    );
    const words = (gate ?? '').split(/\s+/).filter((word) => word !== '');
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(ROOT, 'node_modules/aws-cdk/bin/cdk'), ...words, ...given],
      { encoding: 'utf8', cwd: folder },
    );
    rmSync(folder, { recursive: true });
    expect([status, /Found 1 destructive change/.test(stdout + stderr)]).toEqual(
      gone ? [1, true] : [0, false],
    );
  });
});
