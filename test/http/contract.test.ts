// The contract as a document: docs/openapi.json is fresh and sound, and its operations are the routes of gateway and function.
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, describe, expect, inject, test } from 'vitest';
import { operations } from '../../shared/contract.ts';
import type { Operation } from '../../shared/contract-operation.ts';

const root = join(import.meta.dirname, '../..');
const directory = mkdtempSync(join(tmpdir(), 'kernel-contract-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
// biome-ignore lint/suspicious/noExplicitAny: a document of many shapes
const document: any = JSON.parse(readFileSync(join(root, 'docs/openapi.json'), 'utf8'));

interface Resource {
  Type: string;
  Properties: { RouteKey?: string; FunctionName?: string; Environment?: { Variables: object } };
}

describe('the document', () => {
  const check = (...args: string[]) =>
    promisify(execFile)(process.execPath, [join(root, 'scripts/openapi.ts'), '--check', ...args]);

  test('is fresh, and the check says in one sentence when it is not', async () => {
    await check();
    const stale = join(directory, 'stale.json');
    writeFileSync(stale, JSON.stringify({ ...document, info: {} }));
    await expect(check(stale)).rejects.toMatchObject({
      code: 1,
      stderr: 'docs/openapi.json is stale: run "npm run openapi" and commit it.\n',
    });
  });

  test('is OpenAPI 3.1 whose references resolve, whose ids are unique, whose parameters are those of its paths', () => {
    expect(document.openapi).toBe('3.1.0');
    const references = JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g);
    const at = (path: string) => path.split('/').reduce((node, key) => node?.[key], document);
    expect([...new Set([...references].map(([, path]) => path ?? ''))].filter((path) => !at(path))).toEqual(
      [],
    );
    const ids = operations.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [path, item] of Object.entries(document.paths))
      for (const described of Object.values(
        item as Record<string, Operation & { parameters?: { $ref?: string }[] }>,
      )) {
        const parameters = (described.parameters ?? []).map((one) =>
          one.$ref ? at(one.$ref.slice(2)) : one,
        );
        const inPath = parameters.filter((one) => one.in === 'path').map(({ name }) => name);
        expect(inPath.toSorted()).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort());
        expect(described).toMatchObject({
          summary: expect.any(String),
          description: expect.stringMatching(/\.$/),
        });
      }
  });

  test('fits one answer, and is all of the contract that a function carries', async () => {
    expect(Buffer.byteLength(JSON.stringify(document))).toBeLessThan(500_000);
    const { metafile } = await build({
      entryPoints: readdirSync(join(root, 'functions')).map((file) => join(root, 'functions', file)),
      ...({ bundle: true, write: false, metafile: true, outdir: root } as const),
      ...({ platform: 'node', format: 'esm', logLevel: 'silent' } as const),
    });
    const carried = Object.keys(metafile.inputs).filter((file) => /shared\/contract|zod-openapi/.test(file));
    expect(carried).toEqual([]);
    expect(Object.keys(metafile.inputs)).toContain('docs/openapi.json');
  });
});

const values: Record<string, string> = { LEDGER_ACCESS: 'data-api' };

describe('the routes', () => {
  const resources = readdirSync(inject('assembly'))
    .filter((file) => file.endsWith('.template.json'))
    .flatMap((file) =>
      Object.values(JSON.parse(readFileSync(join(inject('assembly'), file), 'utf8')).Resources),
    ) as Resource[];
  const gateway = resources
    .filter(({ Type }) => Type === 'AWS::ApiGatewayV2::Route')
    .map(({ Properties }) => (Properties.RouteKey ?? '').split(' ') as [string, string]);
  /** Whether a route's method and path take an operation. */
  const takes = ([method, path]: [string, string], described: Operation) =>
    (method === 'ANY' || method === described.method.toUpperCase()) &&
    (path === described.path ||
      (path.endsWith('/{proxy+}') && described.path.startsWith(path.slice(0, -'{proxy+}'.length))));

  test('of the gateway each lead to an operation, and each operation is led to by one', () => {
    expect(gateway.length).toBeGreaterThan(10);
    expect(gateway.filter((route) => !operations.some((described) => takes(route, described)))).toEqual([]);
    expect(operations.filter((described) => !gateway.some((route) => takes(route, described)))).toEqual([]);
  });

  test.each([
    ['api', (path: string) => !/^\/api\/(sync$|cron\/|jobs\/|v1\/)/.test(path)],
    ['money', (path: string) => path.startsWith('/api/v1/') && !path.includes('/webhook')],
    ['webhook', (path: string) => path.includes('/webhook')],
  ])('of the function %s are the operations that no other function answers', async (name, isOwn) => {
    const found = resources.find(
      ({ Type, Properties }) =>
        Type === 'AWS::Lambda::Function' && Properties.FunctionName?.endsWith(`-${name}`),
    );
    const names = Object.keys(found?.Properties.Environment?.Variables ?? {});
    for (const one of names.filter((each) => !each.startsWith('AWS_')))
      process.env[one] ??= values[one] ?? (one.endsWith('_ARNS') ? '{}' : 'https://issuer.example');
    const { routes } = await import(`../../functions/${name}.ts`);
    const served = (routes as { method: string; path: string }[])
      .filter(({ path }) => path !== '/{proxy+}')
      .map(({ method, path }) => `${method} ${path}`);
    const described = operations.filter(({ path }) => isOwn(path));
    expect(served.toSorted()).toEqual(
      described.map(({ method, path }) => `${method.toUpperCase()} ${path}`).toSorted(),
    );
  });
});
