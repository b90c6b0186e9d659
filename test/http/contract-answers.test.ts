// The contract as it is kept: every operation of the running stack answers, and refuses, with what docs/openapi.json says, to the field.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DeleteQueueCommand, SQSClient } from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { demoUsers } from '../../local/issuer.ts';
import { operations } from '../../shared/contract.ts';
import { operation } from '../support/conforms.ts';
import { type Ask, caller } from '../support/contract-caller.ts';
import { type Answer, openStack, type TestStack } from '../support/stack.ts';

const origin = 'https://example.com';
const unknown_id = '0d000000-0000-4000-8000-0000000000ff';
const document = JSON.parse(readFileSync(join(import.meta.dirname, '../../docs/openapi.json'), 'utf8'));

let stack: TestStack;
let ask: ReturnType<typeof caller>['ask'];
let unseen: ReturnType<typeof caller>['unseen'];
let month: string;
beforeAll(async () => {
  stack = await openStack();
  ({ ask, unseen } = caller(stack));
  const { rows } = await stack.database.query(
    `select utc_year_month(month_start(utc_year_month(now())) - interval '1 day') value`,
  );
  month = rows[0].value;
});
afterAll(() => stack.close());

describe('an operation', () => {
  test.each(operations.map(({ id }) => id))(
    '%s is there for a caller without credentials, and refuses what it must',
    async (id) => {
      const { status, body } = await ask(id, operation(id).body ? { body: {} } : {});
      const open = operation(id).caller === 'anyone' && id !== 'syncPreflight';
      const webhook = operation(id).path.includes('/webhook'); // open to all, and signed
      expect(open && !webhook ? [200] : [400, 401, 403, 404]).toContain(status);
      expect(body.code).not.toBe('not_found');
      if (operation(id).caller === 'token') expect(body.code).toBe('not_authenticated');
      if (operation(id).caller.startsWith('cron')) expect(body.code).toBe('CRON_FORBIDDEN');
    },
  );

  test('take a page of the documented size and no larger one', async () => {
    const paged = operations.filter(
      ({ parameters }) => parameters?.query && 'limit' in parameters.query.shape,
    );
    expect(paged.length).toBeGreaterThan(2);
    const window = { startDate: '2026-01-01', endDate: '2026-01-01' };
    const { body } = await ask('backfillEvents', { as: 'service', body: window });
    const id_of: Record<string, string> = { readMigration: body.results.migrationId };
    for (const { id, path, method } of paged) {
      const { maximum } = document.paths[path][method].parameters.find(
        (one: { name?: string }) => one.name === 'limit',
      ).schema;
      const { public_id: ref } = await stack.site();
      const size = (limit: number) =>
        ask(id, {
          ...{ as: 'platform-admin', path: { ref, id: id_of[id] ?? '' }, query: { limit: String(limit) } },
        });
      expect([(await size(maximum)).status, (await size(maximum + 1)).status]).toEqual([200, 400]);
    }
  });
});

describe('what the stack answers', () => {
  let site: { id: string; public_id: string };
  let long: { id: string; public_id: string };
  let building: Promise<Answer>;

  beforeAll(async () => {
    const create = async (body: object) => (await ask('createSite', { as: 'platform-admin', body })).body;
    const more = {
      origins: [origin],
      user_id: demoUsers.find(({ role }) => role === 'owner')?.id,
      api_key: true,
    };
    site = await create({ name: 'Shop', ...more, plan: { monthly_limit: '1000' } });
    long = await create({ name: 'Long', ...more });
    await stack.database.query(
      `update sites set created_at = now() - interval '120 days' where id = any ($1)`,
      [[site.id, long.id]],
    );
    for (const [id, rows] of [
      [site.id, 3],
      [long.id, 20_001],
    ])
      await stack.database.query(
        `insert into ingest_idempotency (site_id, idempotency_key, created_at, expires_at, idempotency_version)
         select $1, substr(sha256(convert_to(n::text, 'UTF8')), 1, 16), at, at + interval '91 days', 3
           from generate_series(1, $2::integer) n, lateral (select month_start($3) + n * interval '1 second' as at) t`,
        [id, rows, month],
      );
    const held = await stack.database.query(
      `insert into dispute_exports (site_id, year_month, max_id, max_adjustment_id, row_count, status, requested_by, lease_until)
       values ($1, $2, 1, 0, 20001, 'BUILDING', 'test', now() + interval '1 hour') returning id::text`,
      [long.id, month],
    );
    const query = { site_id: long.public_id, year_month: month, export_id: held.rows[0].id };
    building = ask('exportDispute', { as: 'owner', query }); // the answer takes as long as a caller may wait
    building.catch(() => undefined);
  });

  const event = (s: string, i: string, more: object = {}) => ({ s, i, url: `${origin}/`, ...more });
  const send = (body: unknown, headers = {}) => ask('sync', { body, headers: { origin, ...headers } });

  test('to a tracker is one of the documented outcomes, in each of its forms', async () => {
    const s = site.public_id;
    const { public_id: hard } = await stack.site({ limit: 0 });
    const { public_id: soft } = await stack.site({ limit: 1, soft: true });
    const { public_id: gone } = await stack.site();
    const outcomes: [number, string, unknown, Record<string, string>?][] = [
      [200, 'queued', event(s, 'a', { ec: 'shop', ev: 1.5, meta: { fp: 'x' } })],
      [200, 'duplicate', event(s, 'a', { ec: 'shop', ev: 1.5, meta: { fp: 'x' } })],
      [409, 'conflict', event(s, 'a', { ec: 'other' })],
      [409, 'conflict', { events: [event(s, 'a', { ec: 'other' })] }],
      [200, 'queued', { s, url: origin, r: null }, { 'idempotency-key': 'b', 'x-request-id': 'mine' }],
      [200, 'queued', { events: [event(s, 'c'), event(s, 'd')] }],
      [200, 'mixed', { events: [event(s, 'c'), event(s, 'e'), event(s, 'f', { t: 1 }), event(s, 'a')] }],
      [200, 'queued', { s, v: 1, st: Date.now(), e: [{ i: 'g', t: Date.now(), u: origin, ec: 'shop' }] }],
      [200, 'mixed', { events: [event(soft, 'a'), event(soft, 'b'), event(soft, 'c')] }],
      [429, 'rejected_quota', event(hard, 'a')],
      [429, 'rejected_quota', { events: [event(hard, 'a'), event(hard, 'b')] }],
      [400, 'event_too_old', event(s, 'h', { t: 1 })],
      [400, 'event_id_invalid', { events: [event(s, '\u0007'), event(s, 'x', { t: 1 })] }],
      [400, 'invalid_json', '{'],
      [400, 'payload_not_object', '[]'],
      [400, 'site_mismatch', { events: [event(s, 'i'), event(hard, 'j')] }],
      [400, 'events_empty', { events: [] }],
      [400, 'events_too_many', { events: Array.from({ length: 501 }, (_, n) => event(s, `${n}`)) }],
      [400, 'event_id_required', { events: [event(s, 'i'), { s, url: origin }] }],
      [400, 'site_not_found', event('nobody', 'a')],
      [403, 'origin_not_allowed', event(s, 'k'), { origin: 'https://evil.example' }],
      [403, 'api_key_invalid', event(s, 'k'), { 'x-api-key': 'rk_none' }],
      [413, 'payload_too_large', event(s, 'k', { meta: { x: 'x'.repeat(300_000) } })],
      [415, 'content_encoding_unsupported', event(s, 'k'), { 'content-encoding': 'gzip' }],
    ];
    for (const [status, word, body, headers] of outcomes) {
      const answer = await send(body, headers);
      expect([answer.status, answer.body.status ?? answer.body.code]).toEqual([status, word]);
    }
    await stack.database.query('update sites set rate_limit = 1 where public_id = $1', [gone]);
    const two = [await send(event(gone, 'a')), await send(event(gone, 'b')), await send(event(gone, 'c'))];
    expect(two.map(({ body }) => body.code)).toContain('rate_limited');
    expect((await ask('syncPreflight', { headers: { origin } })).status).toBe(200);
  });

  test('to people of a site is what the contract says, and so are its refusals', async () => {
    const ingest_id = (await send(event(site.public_id, 'receipt'))).body.ingest_id;
    const path = { ref: site.public_id };
    for (const id of ['readUsage', 'readTracker', 'readPlan', 'readQuota', 'listInvoices', 'listJobs']) {
      expect((await ask(id, { as: 'owner', path })).status).toBe(200);
      expect((await ask(id, { as: 'player', path })).body.code).toBe('forbidden');
    }
    const year_month = new Date().toISOString().slice(0, 7);
    expect((await ask('requestJob', { as: 'owner', path, body: { year_month } })).status).toBe(200);
    expect((await ask('requestJob', { as: 'owner', path, body: {} })).status).toBe(400);
    expect(
      (await ask('listMySites', { as: 'owner', query: { limit: '1' } })).body.next_cursor,
    ).not.toBeNull();
    expect((await ask('listMySites', { as: 'owner', query: { cursor: 'x' } })).status).toBe(400);
    expect((await ask('readUsage', { as: 'owner', path, query: { month: '2026-13' } })).status).toBe(400);
    expect((await ask('readUsage', { as: 'owner', path: { ref: '\u0000' } })).body.code).toBe('text_invalid');
    for (const delivered of [false, true]) {
      if (delivered) await stack.delivered();
      expect((await ask('readReceipt', { as: 'owner', path: { ...path, ingest_id } })).status).toBe(200);
    }
    expect((await ask('readReceipt', { as: 'owner', path: { ...path, ingest_id: unknown_id } })).status).toBe(
      404,
    );
    expect((await ask('readReceipt', { as: 'player', path: { ...path, ingest_id } })).status).toBe(400);
    expect((await ask('erasePayloads', { as: 'owner', path, body: { ingest_id } })).body.erased).toBe('1');
    for (const [body, code] of [
      [{}, 'invalid_request'],
      ['{', 'invalid_json'],
      [`"${'x'.repeat(70_000)}"`, 'payload_too_large'],
    ] as const)
      expect((await ask('erasePayloads', { as: 'owner', path, body })).body.code).toBe(code);
  });

  test('to a platform admin is what the contract says, and so are its refusals', async () => {
    const path = { ref: site.public_id };
    const admin = (id: string, more: Ask = {}) => ask(id, { as: 'platform-admin', path, ...more });
    const user = demoUsers.find(({ role }) => role === 'analyst')?.id ?? '';
    expect((await admin('listSites', { query: { limit: '1' } })).body.next_cursor).not.toBeNull();
    expect((await admin('readOverview')).body.overview.hours).toHaveLength(24);
    expect((await admin('createSite', { body: { name: 'Twin', public_id: site.public_id } })).body.code).toBe(
      'conflict',
    );
    expect((await admin('createSite', { body: { colour: 'red' } })).body.code).toBe('invalid_request');
    expect((await admin('siteUsage', { query: { month } })).status).toBe(200);
    expect((await admin('siteTracker', { query: { month } })).status).toBe(200);
    expect(
      (await admin('setPlan', { body: { monthly_limit: 900, hard_cap_multiplier: '1.5' } })).status,
    ).toBe(200);
    expect((await admin('setPlan', { body: {} })).status).toBe(400);
    const until = new Date(Date.now() + 3_600_000).toISOString();
    expect(
      (await admin('unblockPlan', { body: { until, limit: '5000', reason: 'sale' } })).body.plan.unblock,
    ).not.toBeNull();
    expect((await ask('readPlan', { as: 'owner', path })).status).toBe(200);
    expect(
      (await admin('unblockPlan', { body: { until: '2020-01-01T00:00:00Z', reason: 'late' } })).status,
    ).toBe(400);
    for (const enforced of [false, true]) {
      expect((await admin('setEnforcement', { body: { enforced, reason: 'canary' } })).status).toBe(200);
      expect((await ask('readQuota', { as: 'owner', path })).body.quota.enforced).toBe(enforced);
    }
    expect((await admin('setMember', { path: { ...path, user }, body: { role: 'billing' } })).status).toBe(
      200,
    );
    expect((await admin('removeMember', { path: { ...path, user } })).body.member.role).toBeNull();
    expect((await admin('removeMember', { path: { ...path, user: 'x' } })).status).toBe(400);
    expect((await admin('listKeys')).body.keys).toHaveLength(1);
    const { body } = await admin('createKey');
    expect((await admin('createKey')).body.code).toBe('keys_exhausted');
    expect((await admin('rotateKey')).status).toBe(201);
    expect((await admin('revokeKey', { path: { ...path, key: body.key_id } })).status).toBe(200);
    expect((await admin('revokeKey', { path: { ...path, key: unknown_id } })).body.code).toBe(
      'key_not_found',
    );
    for (const { id } of operations.filter(
      ({ tag, path: at }) => tag === 'administration' && at.includes('{ref}'),
    )) {
      const refused = await ask(id, { as: 'owner', path, ...(operation(id).body && { body: {} }) });
      expect(refused.body.code).toBe('forbidden');
    }
    const charged = { currency: 'USD', overage_price_per_1k: '0.5' };
    expect((await admin('setSettlement', { path, body: charged })).body.settlement.currency).toBe('USD');
    expect((await admin('readSettlement', { path })).body.settlement.settled).toEqual([]);
    expect((await admin('listKeys', { path: { ref: 'nobody' } })).body.code).toBe('site_not_found');
  });

  test('to an operator is what the contract says: jobs, health, counters', async () => {
    const jobs = operations.filter(({ tag, id }) => tag === 'jobs' && !id.startsWith('backfill'));
    for (const { id, parameters } of jobs) {
      const dry = parameters?.query && 'dry_run' in parameters.query.shape;
      for (const query of dry ? [{ dry_run: 'true' }, { dry_run: 'false' }] : [{}])
        expect((await ask(id, { as: 'cron', query: query as Record<string, string> })).body.ok).toBe(true);
    }
    const now = new Date().toISOString().slice(0, 7);
    const range = { from: month, to: now, force: true };
    expect((await ask('backfillReconciliation', { as: 'cron', body: range })).body.months).toEqual([
      month,
      now,
    ]);
    expect(
      (await ask('backfillReconciliation', { as: 'cron', body: { from: '2025-01', to: '2026-12' } })).status,
    ).toBe(400);
    expect((await ask('backfillReconciliationByGet', { as: 'cron' })).body.code).toBe('invalid_json');
    expect((await ask('freezeInvoices', { as: 'cron', query: { year_month: '2999-01' } })).body.code).toBe(
      'month_open',
    );
    expect((await ask('cleanUp', { as: 'cron', query: { dry_run: 'maybe' } })).body.code).toBe(
      'invalid_request',
    );
    expect((await ask('runReconciliation', { as: 'cron' })).body.processed).toBeGreaterThan(0);
    await stack.database.query(
      `insert into ingest_publish_failures (site_public_id, error_code) values ('x', 'y')`,
    );
    expect((await ask('watch', { as: 'cron', query: { strict: '1' } })).body.status).not.toBe('ok');
    for (const as of ['cron', 'platform-admin']) expect((await ask('metrics', { as })).status).toBe(200);
    expect((await ask('metrics', { as: 'cron', headers: { accept: 'text/plain' } })).body).toMatch(
      /^# HELP /,
    );
    expect((await ask('metrics', { as: 'owner' })).body.code).toBe('forbidden');
    expect((await ask('contract')).body).toEqual(document);
  });

  test('of a frozen month is what the contract says: invoice, proof, corrections, export', async () => {
    const path = { ref: site.public_id };
    const finance = (id: string, more: Ask = {}) => ask(id, { as: 'Fay Finance', path, ...more });
    const correction = { corrects_month: month, event_delta: '-1', reason: 'a test order' };
    expect(
      (await finance('proposeAdjustment', { body: { ...correction, corrects_month: '2025-01' } })).body.code,
    ).toBe('month_not_frozen');
    const { body } = await finance('proposeAdjustment', { body: correction });
    const decide = (as: string, id = body.adjustment.id, decision = 'approved') =>
      ask('decideAdjustment', { as, path: { ...path, id }, body: { decision } });
    expect((await decide('Fay Finance')).body.code).toBe('four_eyes');
    expect((await decide('Finn Finance')).body.adjustment.decision).toBe('approved');
    expect((await decide('Finn Finance', undefined, 'rejected')).body.code).toBe('adjustment_decided');
    expect((await decide('Finn Finance', unknown_id)).body.code).toBe('adjustment_not_found');
    expect((await finance('listAdjustments')).body.adjustments).toHaveLength(1);
    expect((await ask('listInvoices', { as: 'owner', path })).body.invoices[0].corrected_by).toHaveLength(1);
    for (const id of ['readDays', 'readSealedLines'])
      expect((await ask(id, { as: 'owner', path: { ...path, month } })).status).toBe(200);
    const proof = await ask('proveInvoice', { as: 'owner', path: { ...path, month } });
    expect(proof.body.proof).toMatchObject({ hash_ok: true, ledger_ok: true, seal_ok: true });
    expect((await ask('proveInvoice', { as: 'owner', path: { ...path, month: '2025-01' } })).status).toBe(
      409,
    );
    const exported = (ref: string, as = 'owner', more = {}) =>
      ask('exportDispute', { as, query: { site_id: ref, year_month: month, ...more } });
    expect((await exported(site.public_id)).body).toMatch(/^created_at,/);
    expect((await exported(site.public_id, 'player')).status).toBe(403);
    expect((await exported(site.public_id, 'owner', { export_id: '999' })).status).toBe(404);
    expect((await exported(site.public_id, 'owner', { year_month: '2026-1' })).status).toBe(400);
    expect((await exported(long.public_id)).status).toBe(303);
    const headers = { accept: 'application/json' };
    const query = { site_id: long.public_id, year_month: month };
    const linked = await ask('exportDispute', { as: 'owner', query, headers });
    expect(linked).toMatchObject({ status: 200, body: { status: 'ready', url: expect.any(String) } });
    expect((await building).status).toBe(202);
  });

  test('has been seen for each operation: every success, and a refusal of each that has one', () => {
    const money = ['money', 'finance', 'books', 'assurance', 'payments']; // seen in the other tests of the contract
    expect(unseen(operations.filter(({ tag }) => !money.includes(tag)))).toEqual([]);
  });

  test('without the queue is the documented degraded answer', async () => {
    const sqs = new SQSClient({ ...stack.client, maxAttempts: 1 });
    const QueueUrl = stack.resource('AWS::SQS::Queue', 'DeliveryQueue').ref;
    await sqs.send(new DeleteQueueCommand({ QueueUrl }));
    sqs.destroy();
    expect((await send(event(site.public_id, 'degraded'))).body.status).toBe('degraded');
  });

  test('when the ledger is away is the documented closed gate', async () => {
    await stack.postgres.stop();
    expect((await send(event(site.public_id, 'away'))).status).toBe(500);
    expect((await ask('health')).status).toBe(503);
    expect((await ask('listSites', { as: 'platform-admin' })).body.code).toBe('ledger_unavailable');
  });
});
