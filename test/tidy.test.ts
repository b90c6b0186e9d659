// The house rules that a machine can check: who imports whom, sizes, names, where the environment is read, which errors are mapped.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, normalize, relative } from 'node:path';
import { expect, test } from 'vitest';
import { sqlStates } from '../shared/errors.ts';

const root = join(import.meta.dirname, '..');
const code_folders = [
  'shared',
  'functions',
  'infra',
  'local',
  'cli',
  'console',
  'demo',
  'tracker',
  'bench',
  'test',
  'scripts',
];
const lines_max = 300;
const test_lines_max = 400;

/** For each part of the tree, in order: the parts it may import from; packages are judged apart. */
const allowed: [part: RegExp, mayImport: RegExp][] = [
  [/^shared\/adapters\//, /^shared\//],
  [/^shared\//, /^shared\/[^/]+$/],
  [/^functions\//, /^((shared|functions)\/|docs\/openapi\.json$)/],
  [/^infra\//, /^(infra\/|shared\/config\.ts$)/],
  [/^local\//, /^(local\/|scripts\/(build|synth)-if-changed\.ts$)/],
  [/^cli\//, /^(cli\/|scripts\/node-24\.mjs$)/],
  [/^tracker\//, /^tracker\//], // it knows the HTTP contract only
  [/^console\//, /^console\//], // and so does this
  [/^demo\//, /^(demo|shared|local)\//],
  [/^(test|bench|scripts)\//, /./],
];
const banned_names = /^(utils?|helpers?|common|misc|manager|service|base|impl|types|index)\.ts$/;

const files = code_folders
  .flatMap((folder) => walk(join(root, folder)))
  .filter((file) => /\.(tsx?|mjs)$/.test(file) && !file.endsWith('.gen.ts'));

test('every import follows the import rule', () => {
  const broken = files.flatMap((file) => {
    const rule = allowed.find(([part]) => part.test(file));
    return imports(file)
      .filter((target) => !rule?.[1].test(target))
      .map((target) => `${file} imports ${target}`);
  });
  expect(broken).toEqual([]);
});

test('nothing outside tests and benches imports them', () => {
  const broken = files.filter(
    (file) => !/^(test|bench)\//.test(file) && imports(file).some((target) => /^(test|bench)\//.test(target)),
  );
  expect(broken).toEqual([]);
});

test('shared/ knows no AWS SDK and no database driver outside its adapters, and no Lambda', () => {
  const broken = files.filter(
    (file) =>
      /^shared\/[^/]+$/.test(file) &&
      packages(file).some((name) =>
        /^(@aws-sdk|@aws-lambda-powertools|@smithy|@middy|aws-lambda|pg)\b/.test(name),
      ),
  );
  expect(broken).toEqual([]);
});

test('the environment is read in shared/config.ts only, and at the top of the programs that a person starts', () => {
  const programs =
    /^(shared\/config\.ts|infra\/app\.ts|local\/(main|parent)\.ts|cli\/|bench\/|test\/|scripts\/)/;
  expect(files.filter((file) => !programs.test(file) && /\bprocess\.env\b/.test(text(file)))).toEqual([]);
});

test(`a file has at most ${lines_max} lines, a test ${test_lines_max}, and opens by saying what it is for`, () => {
  const most = (file: string) => (file.startsWith('test/') ? test_lines_max : lines_max);
  expect(files.filter((file) => lines(file) > most(file))).toEqual([]);
  expect(files.filter((file) => !/^(#!.*\n)?\/\/ \S/.test(text(file)))).toEqual([]);
});

test('half of the files that are not tests have fewer than 100 lines', () => {
  const sizes = files.filter((file) => !file.startsWith('test/')).map(lines);
  expect(sizes.toSorted((a, b) => a - b)[Math.floor(sizes.length / 2)]).toBeLessThan(100);
});

test('no file has a name that says nothing', () => {
  expect(
    files.filter((file) => banned_names.test(basename(file)) && !file.startsWith('local/data-api/')),
  ).toEqual([]);
});

test('every own SQLSTATE that migrations raise is mapped in shared/errors.ts', () => {
  const sql = walk(join(root, 'migrations'))
    .map((file) => text(file))
    .join('\n');
  const raised = new Set([...sql.matchAll(/errcode = '(\w{5})'/g)].map(([, state]) => state ?? ''));
  expect(raised.size).toBeGreaterThan(5);
  expect([...raised].filter((state) => !(state in sqlStates))).toEqual([]);
});

test('every relative link of a document leads to a file, and every heading it names exists', () => {
  const documents = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...walk(join(root, 'docs'))].filter(
    (file) => file.endsWith('.md'),
  );
  const broken = documents.flatMap((file) =>
    [...text(file).matchAll(/\]\((?!https?:)([^)#]*)(#[^)]*)?\)/g)]
      .filter(([, path, anchor]) => !leads(file, path ?? '', anchor))
      .map(([link]) => `${file}: ${link}`),
  );
  expect(broken).toEqual([]);
});

function leads(from: string, path: string, anchor: string | undefined): boolean {
  const target = path === '' ? from : normalize(join(dirname(from), path));
  try {
    if (statSync(join(root, target)).isDirectory()) return true;
  } catch {
    return false;
  }
  if (!anchor) return true;
  const headings = [...text(target).matchAll(/^#+ (.*)$/gm)].map(
    ([, title]) =>
      `#${(title ?? '')
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .replaceAll(' ', '-')}`,
  );
  return headings.includes(anchor);
}

function imports(file: string): string[] {
  return specifiers(file)
    .filter((name) => name.startsWith('.'))
    .map((name) => normalize(join(dirname(file), name)));
}

function packages(file: string): string[] {
  return specifiers(file).filter((name) => !name.startsWith('.') && !name.startsWith('node:'));
}

function specifiers(file: string): string[] {
  return [
    ...text(file).matchAll(
      /^(?:import|export)\b[^;]*?\bfrom '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm,
    ),
  ].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
}

function lines(file: string): number {
  return text(file).split('\n').length - 1;
}

function text(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

function walk(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
}
