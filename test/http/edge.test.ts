// Behind an edge: what did not come through it is refused before anything is done, and who came through it is seen as themselves.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { type Answer, openStack, type TestStack } from '../support/stack.ts';

const folder = mkdtempSync(join(tmpdir(), 'kernel-edge-'));
const PREVIOUS = 'what-the-edge-still-sends';
let stack: TestStack;
let site: { id: string; public_id: string };

beforeAll(async () => {
  cpSync(inject('assembly'), folder, { recursive: true });
  guard(join(folder, 'Kernel.template.json'), 'Ingest');
  stack = await openStack({ assembly: folder });
  site = await stack.site({ limit: 100 });
});
afterAll(async () => {
  await stack?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** What infra/ adds to a function that stands behind an edge: the secret, its ARN, and the right to read it. */
function guard(path: string, part: string): void {
  const template = JSON.parse(readFileSync(path, 'utf8'));
  const resources = Object.entries(template.Resources) as [string, { Type: string; Properties: object }][];
  const find = (type: string, start: string) => {
    const found = resources.find(([id, { Type }]) => Type === type && id.startsWith(start));
    if (!found) throw new Error(`The template has no ${start}.`);
    // biome-ignore lint/suspicious/noExplicitAny: the properties of a template have no type
    return found as [string, any];
  };
  template.Resources.OriginSecret = {
    Type: 'AWS::SecretsManager::Secret',
    Properties: {
      GenerateSecretString: {
        SecretStringTemplate: JSON.stringify({ previous: PREVIOUS }),
        GenerateStringKey: 'current',
      },
    },
  };
  const secret = { Ref: 'OriginSecret' };
  find('AWS::Lambda::Function', `${part}Function`)[1].Properties.Environment.Variables.ORIGIN_SECRET_ARN =
    secret;
  find('AWS::IAM::Policy', `${part}RoleDefaultPolicy`)[1].Properties.PolicyDocument.Statement.push({
    Effect: 'Allow',
    Action: 'secretsmanager:GetSecretValue',
    Resource: secret,
  });
  writeFileSync(path, JSON.stringify(template));
}

const send = (i: string, headers: Record<string, string>): Promise<Answer> =>
  stack.sync(
    { s: site.public_id, url: 'https://example.com/', ec: 'page', ea: 'view', i },
    { origin: 'https://example.com', 'content-type': 'application/json', ...headers },
  );
const current = () => stack.state.secret('OriginSecret');

test('what comes by the own address of the API is refused, writes nothing and learns nothing of the secret', async () => {
  for (const [i, secret] of [
    '',
    'wrong',
    current().slice(0, -1),
    `${current()}x`,
    '{}',
    'undefined',
  ].entries()) {
    const answer = await send(`around-${i}`, secret === '' ? {} : { 'x-origin-secret': secret });
    expect([answer.status, answer.body.code]).toEqual([403, 'forbidden']);
    expect(JSON.stringify(answer.body)).not.toContain(PREVIOUS);
    expect(answer.headers.get('x-opsmantik-commit')).toBeTruthy();
  }
  expect(await stack.counts(site.id)).toMatchObject({ billable: 0, outbox: 0, events: 0 });
});

test('while the secret is changed both its values are valid', async () => {
  expect((await send('with-current', { 'x-origin-secret': current() })).status).toBe(200);
  expect((await send('with-previous', { 'x-origin-secret': PREVIOUS })).status).toBe(200);
});

test('the limit of requests counts the client that the edge saw, not the edge', async () => {
  const from = (address: string, i: string) =>
    send(i, { 'x-origin-secret': current(), 'x-viewer-address': address });
  const remaining = async (address: string, i: string) =>
    /r=(\d+)/.exec((await from(address, i)).headers.get('ratelimit') ?? '')?.[1];
  const first = Number(await remaining('192.0.2.1', 'client-1'));
  expect(Number(await remaining('192.0.2.1', 'client-2'))).toBe(first - 1);
  expect(Number(await remaining('2001:db8::2', 'client-3'))).toBe(first);
});

test('a function that no edge guards does not care for its headers', async () => {
  const answer = await fetch(`${stack.url}/api/health`, { headers: { 'x-origin-secret': 'wrong' } });
  expect(answer.status).toBe(200);
});
