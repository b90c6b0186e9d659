// The page about scaling says what the model says, and the model promises less than the benches have shown.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { page, renewed, tables } from '../scripts/capacity.ts';
import { capacity, eventsPerAcu, inputs, needs } from '../scripts/capacity-model.ts';

const root = join(import.meta.dirname, '..');
const text = readFileSync(page, 'utf8');
const vcpu_per_acu = inputs.vcpu_per_acu[0];

test('docs/scaling.md holds every table as the model prints it', () => {
  for (const [name, made] of Object.entries(tables()))
    expect(text).toContain(`<!-- table: ${name} -->\n${made}\n<!-- end -->`);
  expect(renewed(text)).toBe(text);
  expect(text).toContain('Every figure on this page is an estimate');
});

test('the model promises at most half, and at least a twentieth, of the rows per second that a bench has shown', () => {
  const results = readFileSync(join(root, 'bench/results/ingest-sql.md'), 'utf8');
  const rateOf = (variant: string) =>
    Number(new RegExp(`${variant} \\| ([\\d,]+)`).exec(results)?.[1]?.replaceAll(',', ''));
  const cores = Number(/(\d+) × /.exec(results)?.[1]);
  const shown = [
    // Eight clients keep every core busy, one client one core at the most.
    { batch: 1, per_acu: (rateOf('ingest of 1, sites spread, 8 clients') / cores) * vcpu_per_acu },
    { batch: 100, per_acu: rateOf('ingest of 100, sites spread, 1 client') * vcpu_per_acu },
  ];
  for (const { batch, per_acu } of shown) {
    expect(eventsPerAcu(batch)).toBeLessThanOrEqual(per_acu / 2);
    expect(eventsPerAcu(batch)).toBeGreaterThanOrEqual(per_acu / 20);
  }
});

test('a stored event is not smaller in the model than its ledger row with indexes in the bench', () => {
  const results = readFileSync(join(root, 'bench/results/ingest-sql.md'), 'utf8');
  const bytes = Number(/takes (\d+) bytes/.exec(results)?.[1]);
  expect(bytes).toBeGreaterThan(100);
  expect(inputs.stored_bytes_per_event[0]).toBeGreaterThanOrEqual(bytes);
});

test('more events never take less, and batching always does', () => {
  for (const access of ['data-api', 'proxy'] as const) {
    const of = (events: number, batch: number) => capacity({ events, batch, access });
    for (let events = 1; events < 1_000_000; events *= 10) {
      for (const batch of [1, 10, 100, 500]) {
        const [less, more] = [of(events, batch), of(events * 10, batch)];
        for (const one of [
          'calls_s',
          'ingest_instances',
          'acus',
          'ios_s',
          'writes_s',
          'sqs_s',
          'usd_month',
        ] as const)
          expect(more[one]).toBeGreaterThanOrEqual(less[one]);
        expect(more.usd_per_million).toBeLessThanOrEqual(less.usd_per_million * 1.000_001);
        expect(Object.values(more.usd).every((usd) => usd >= 0)).toBe(true);
      }
      expect(of(events, 100).usd_per_million).toBeLessThan(of(events, 1).usd_per_million);
    }
  }
});

test('the settings that the model names are those of the repository', () => {
  const config = readFileSync(join(root, 'infra/config.ts'), 'utf8');
  expect(config).toContain(`ingest: { memoryMb: ${inputs.ingest_gb[0] * 1024}, timeoutSeconds: 25 } }`);
  expect(config).toContain(`deliver: { memoryMb: ${inputs.deliver_gb[0] * 1024},`);
  const kernel = readFileSync(join(root, 'infra/kernel-stack.ts'), 'utf8');
  expect(kernel).toContain(
    `batchSize: ${inputs.messages_per_delivery[0]}, maxConcurrency: config.deliverConcurrency`,
  );
});

test('the command prints a load and refuses one that is none', () => {
  const run = (...args: string[]) =>
    execFileSync(process.execPath, [join(root, 'scripts/capacity.ts'), ...args], {
      encoding: 'utf8',
      stdio: 'pipe',
    });
  const printed = run('--events', '100000', '--batch', '100');
  expect(printed).toContain('An estimate');
  for (const need of needs({ events: 100_000, batch: 100, access: 'data-api' }))
    expect(printed).toContain(need);
  expect(() => run('--events', '0')).toThrow('Give --events from 1 to 1000000');
  expect(() => run('--events', '10', '--batch', '501')).toThrow('--batch from 1 to 500');
});
