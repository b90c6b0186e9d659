// The receipt of an event: every decision taken on it, for those who may see its site, and not a word for anybody else.
import { beforeAll, describe, expect, test } from 'vitest';
import { demoUsers } from '../../local/issuer.ts';
import { v3 } from '../support/database.ts';
import { sharedStack } from '../support/shared-stack.ts';
import type { Answer, TestStack } from '../support/stack.ts';

const origin = 'https://example.com';
const user = (role: string) => demoUsers.find((one) => one.role === role) as (typeof demoUsers)[0];
const instant = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
const hash = expect.stringMatching(/^[0-9a-f]{64}$/);

let stack: TestStack;
let site: { id: string; public_id: string };
beforeAll(async () => {
  stack = await sharedStack();
  site = await ownedSite();
});

/** A site of the demo owner, with the demo analyst as a member. */
async function ownedSite(limit = 100): Promise<{ id: string; public_id: string }> {
  const { body } = await stack.admin('POST', '/sites', {
    ...{ name: 'Owned', origins: [origin], user_id: user('owner').id },
    plan: { monthly_limit: String(limit) },
  });
  await stack.database.query('insert into site_members (site_id, user_id) values ($1, $2)', [
    ...[body.id, user('analyst').id],
  ]);
  return body;
}

async function send(s: string, i: string, more: object = {}): Promise<string> {
  const { body } = await stack.sync(
    { s, i, url: 'https://example.com/', ...more },
    { origin, 'x-request-id': `request-${i}` },
  );
  return body.ingest_id;
}

async function receipt(ref: string, ingest_id: string, role: string | null = 'owner'): Promise<Answer> {
  const headers: Record<string, string> = role
    ? { authorization: `Bearer ${await stack.issuer.token(user(role))}` }
    : {};
  const path = `/api/sites/${encodeURIComponent(ref)}/events/${encodeURIComponent(ingest_id)}`;
  const response = await fetch(`${stack.url}${path}`, { headers });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

/** An answer without what differs from request to request. */
const bare = ({ status, body: { request_id: _, ...body } }: Answer) => ({ status, body });

describe('a receipt', () => {
  test('of a delivered event holds its ledger row, its delivery, and nothing that did not happen', async () => {
    const ingest_id = await send(site.public_id, 'plain', { ec: 'shop', ev: 12.5 });
    await stack.delivered();
    const { status, headers, body } = await receipt(site.public_id, ingest_id);
    expect(status).toBe(200);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(body).toEqual({
      ok: true,
      request_id: headers.get('x-request-id'),
      ingest_id,
      site_id: site.id,
      ledger: {
        id: expect.stringMatching(/^\d+$/),
        idempotency_key: expect.stringMatching(/^v3:[0-9a-f]{32}$/),
        idempotency_version: 3,
        billable: true,
        billing_state: 'ACCEPTED',
        billing_reason: 'default_billable',
        year_month: body.ledger.created_at.slice(0, 7),
        created_at: instant,
        expires_at: instant,
        payload_hash: hash,
      },
      delivery: {
        status: 'delivered',
        delivered_at: instant,
        request_id: 'request-plain',
        payload: { i: 'plain', url: 'https://example.com/', ec: 'shop', ev: 12.5 },
      },
      rejections: [],
      conflicts: [],
      invoice: null,
    });
  });

  test('of an event without an id shows the key as the requirements do: 64 hex digits, and no payload hash', async () => {
    const { body } = await stack.sync({ s: site.public_id, url: 'https://example.com/v1' });
    expect((await receipt(site.public_id, body.ingest_id)).body.ledger).toMatchObject({
      ...{ idempotency_key: hash, idempotency_version: 1, payload_hash: null },
    });
  });

  test('of an event that waits, or could not be delivered, says so with attempts and reason', async () => {
    const planted = async (i: string, status: string, reason: string | null) => {
      const { rows } = await stack.database.query(
        `select results from ingest($1::uuid, gen_random_uuid(), $2::jsonb, 'planted')`,
        [site.id, JSON.stringify([v3(i)])],
      );
      const ingest_id = rows[0].results[0][1];
      await stack.database.query(
        'update ingest_fallback_buffer set status = $2, error_reason = $3, attempts = 3 where id = ingest_uuid_id($1)',
        [ingest_id, status, reason],
      );
      return ingest_id;
    };
    const waiting = await planted('waits', 'PENDING', null);
    expect((await receipt(site.id, waiting)).body.delivery).toEqual({
      status: 'waiting',
      attempts: 3,
      next_attempt_at: instant,
      reason: null,
      request_id: 'planted',
      payload: v3('waits').payload,
    });
    const failed = await planted('failed', 'FAILED', '23514 a bad row');
    expect((await receipt(site.id, failed)).body.delivery).toMatchObject({
      ...{ status: 'failed', attempts: 3, reason: '23514 a bad row' },
    });
    await stack.database.query('delete from ingest_fallback_buffer where id = ingest_uuid_id($1)', [failed]);
    expect((await receipt(site.id, failed)).body.delivery).toEqual({ status: 'removed' });
  });

  test('of an event that was refused before the limit was raised shows that refusal, and payloads that came later as conflicts', async () => {
    const { id, public_id: s } = await ownedSite(0);
    expect(await send(s, 'late')).toBeUndefined();
    await stack.admin('PUT', `/sites/${s}/plan`, { monthly_limit: '5' });
    const ingest_id = await send(s, 'late');
    expect(await send(s, 'late', { el: 'other' })).toBeUndefined();
    const { body } = await receipt(s, ingest_id);
    expect(body).toMatchObject({
      site_id: id,
      ledger: { billing_state: 'ACCEPTED', billable: true },
      rejections: [{ year_month: body.ledger.year_month, created_at: instant }],
      conflicts: [{ seen_at: instant, payload_hash: hash, request_id: 'request-late' }],
    });
    expect(body.conflicts[0].payload_hash).not.toBe(body.ledger.payload_hash);
  });

  test('of an event of a frozen month names the invoice', async () => {
    const { id, public_id: s } = await ownedSite();
    const ingest_id = await send(s, 'frozen');
    await stack.database.query(
      `insert into invoice_snapshot (site_id, year_month, event_count, overage_count, snapshot_hash, hash_version)
       select $1, year_month, 1, 0, 'the-hash', 1 from ingest_idempotency where site_id = $1`,
      [id],
    );
    expect((await receipt(s, ingest_id)).body.invoice).toEqual({
      frozen_at: instant,
      snapshot_hash: 'the-hash',
    });
  });

  test('is found by public id or UUID of the site, and by its own id with or without capitals', async () => {
    const ingest_id = await send(site.public_id, 'spelled');
    const plain = bare(await receipt(site.public_id, ingest_id));
    expect(plain.status).toBe(200);
    for (const ref of [site.id, site.id.toUpperCase(), site.id.replaceAll('-', '')])
      expect((await receipt(ref, ingest_id)).status).toBe(200);
    expect(bare(await receipt(site.public_id, ingest_id.toUpperCase())).body.ledger).toEqual(
      plain.body.ledger,
    );
  });
});

describe('who may see it', () => {
  test.each(['owner', 'analyst', 'platform-admin'])('the %s of the site may', async (role) => {
    const ingest_id = await send(site.public_id, `for-${role}`);
    expect((await receipt(site.public_id, ingest_id, role)).status).toBe(200);
  });

  test('a stranger is told what he would be told of a site that does not exist', async () => {
    const ingest_id = await send(site.public_id, 'secret');
    const stranger = bare(await receipt(site.public_id, ingest_id, 'player'));
    expect(stranger).toEqual({
      status: 400,
      body: { ok: false, code: 'site_not_found', error: 'Site not found or invalid' },
    });
    for (const [ref, id] of [
      ['nobody', ingest_id],
      ['0d000000-0000-4000-8000-0000000000ff', ingest_id],
      [site.id, ingest_id],
      [site.id, '00000000-0000-7000-8000-000000000000'],
    ] as const)
      expect(bare(await receipt(ref, id, 'player'))).toEqual(stranger);
    expect(bare(await receipt('nobody', ingest_id))).toEqual(stranger);
  });

  test('a member who is removed may no longer', async () => {
    const { id, public_id: s } = await ownedSite();
    const ingest_id = await send(s, 'left');
    expect((await receipt(s, ingest_id, 'analyst')).status).toBe(200);
    await stack.database.query('delete from site_members where site_id = $1', [id]);
    expect((await receipt(s, ingest_id, 'analyst')).body.code).toBe('site_not_found');
  });

  test('nobody may without a token, with one of another signer, or with one that is none', async () => {
    const ingest_id = await send(site.public_id, 'no-token');
    expect(await receipt(site.public_id, ingest_id, null)).toMatchObject({
      status: 401,
      body: { ok: false, code: 'not_authenticated' },
    });
    const path = `${stack.url}/api/sites/${site.public_id}/events/${ingest_id}`;
    const [head, , signature] = (await stack.issuer.token(user('owner'))).split('.');
    const claims = Buffer.from(JSON.stringify({ sub: user('owner').id })).toString('base64url');
    for (const token of ['x', 'a.b.c', `${head}.${claims}.${signature}`])
      expect((await fetch(path, { headers: { authorization: `Bearer ${token}` } })).status).toBe(401);
  });
});

describe('an id', () => {
  test('that no event of the site has is not found', async () => {
    const ingest_id = await send(site.public_id, 'near-miss');
    const digit = ingest_id.endsWith('0') ? '1' : '0';
    const otherTime = `${ingest_id.startsWith('0') ? '1' : '0'}${ingest_id.slice(1)}`;
    const wrong = [
      `${ingest_id.slice(0, -1)}${digit}`,
      otherTime,
      '00000000-0000-0000-0000-000000000000',
      'ffffffff-ffff-ffff-ffff-ffffffffffff',
      '00000000-0000-7000-7fff-ffffffffffff',
    ];
    for (const id of [...wrong, ingest_id.replaceAll('-', ''), 'x', "'; drop table events; --"])
      expect(bare(await receipt(site.public_id, id))).toEqual({
        status: 404,
        body: {
          ok: false,
          code: 'receipt_not_found',
          error: 'The site has no event with this ingest_id.',
        },
      });
  });

  test('of another site is not found, whether one sees that site or not', async () => {
    const [mine, theirs] = [await ownedSite(), await stack.site()];
    for (const id of [await send(mine.public_id, 'x'), await send(theirs.public_id, 'x')])
      expect((await receipt(site.public_id, id)).body.code).toBe('receipt_not_found');
  });

  test('of a refused event does not exist: its ledger row is no receipt', async () => {
    const { id, public_id: s } = await ownedSite(0);
    await send(s, 'refused');
    const { rows } = await stack.database.query(
      'select ingest_uuid(id, created_at) would from ingest_idempotency where site_id = $1',
      [id],
    );
    expect((await receipt(s, rows[0].would)).body.code).toBe('receipt_not_found');
  });
});
