// Synthesizes each stage once for the tests of this folder, from the same context that the CDK command line reads.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { kernelApp } from '../../infra/app.ts';
import { FUNCTIONS, type FunctionName, type KernelConfig, type Stage } from '../../infra/config.ts';

const ROOT = join(import.meta.dirname, '../..');
const BUILD = { COMMIT_SHA: '0123456789abcdef', COMMIT_BRANCH: 'main' };

export interface Resource {
  readonly Type: string;
  // biome-ignore lint/suspicious/noExplicitAny: the properties of a template have no type
  readonly Properties: any;
  readonly DependsOn?: string[];
  readonly DeletionPolicy?: string;
}

export interface Synthesized {
  readonly stage: Stage;
  readonly app: App;
  /** The resources of both stacks by logical id. */
  readonly resources: ReadonlyMap<string, Resource>;
  readonly report: { pluginReports: unknown[] };
}

const outdirs: string[] = [];
const done = new Map<Stage, Synthesized>();

/** An application that is not synthesized yet, so that a test can add a fault to it. */
export function freshApp(
  stage: string,
  change?: (config: KernelConfig) => KernelConfig,
  given: Readonly<Record<string, string>> = {},
): App {
  const built = [...FUNCTIONS.map((name) => `${name}/index.mjs`), 'console/index.html'];
  if (!built.every((file) => existsSync(join(ROOT, 'dist', file)))) {
    execFileSync(process.execPath, [join(ROOT, 'scripts/build.ts')], { cwd: ROOT });
  }
  const { context } = JSON.parse(readFileSync(join(ROOT, 'cdk.json'), 'utf8')) as { context: object };
  const outdir = mkdtempSync(join(tmpdir(), 'kernel-synth-'));
  outdirs.push(outdir);
  return kernelApp(BUILD, { context: { ...context, stage, ...given }, outdir }, change);
}

export function synthesized(stage: Stage): Synthesized {
  const known = done.get(stage);
  if (known !== undefined) return known;
  const app = freshApp(stage);
  const { directory } = app.synth();
  const resources = ['Data', 'Kernel'].flatMap((id) => {
    const template = Template.fromStack(app.node.findChild(id) as Stack).toJSON();
    return Object.entries(template.Resources as Record<string, Resource>);
  });
  const made = {
    stage,
    app,
    resources: new Map(resources),
    report: JSON.parse(readFileSync(join(directory, 'validation-report.json'), 'utf8')),
  };
  done.set(stage, made);
  return made;
}

/** The resources of one type as [logical id, resource]. */
export function ofType({ resources }: Synthesized, type: string): [string, Resource][] {
  return [...resources].filter(([, { Type }]) => Type === type);
}

export function one(stage: Synthesized, type: string): Resource {
  const [first, ...others] = ofType(stage, type);
  if (first === undefined || others.length > 0) throw new Error(`There is not exactly one ${type}.`);
  return first[1];
}

export function functionOf(stage: Synthesized, entry: FunctionName): Resource {
  const name = `revenue-kernel-${stage.stage}-${entry}`;
  const found = ofType(stage, 'AWS::Lambda::Function').find(
    ([, { Properties }]) => Properties.FunctionName === name,
  );
  if (found === undefined) throw new Error(`There is no function ${name}.`);
  return found[1];
}

export function removeAssemblies(): void {
  for (const outdir of outdirs) rmSync(outdir, { recursive: true, force: true });
}
