// The erasure of a person's payloads: gone from events and outbox, even from under a delivery, while the ledger's proof stays.
import { beforeAll, describe, expect, test } from 'vitest';
import { type Call, callsOf, type Role, staffedSite, told, userOf } from '../support/callers.ts';
import { v3 } from '../support/database.ts';
import { sharedStack } from '../support/shared-stack.ts';
import type { TestStack } from '../support/stack.ts';

let stack: TestStack;
let call: Call;
let site: { id: string; public_id: string };
beforeAll(async () => {
  stack = await sharedStack(); // no schedule moves what waits
  call = callsOf(stack);
  site = await staffedSite(stack);
});

async function send(s: string, i: string, more: object = {}): Promise<string> {
  return (await stack.sync({ s, i, url: 'https://example.com/', ...more })).body.ingest_id;
}

describe('an erasure', () => {
  const erase = (id: string, body: unknown, role: Role = 'owner') =>
    call(role, 'POST', `/api/sites/${id}/erasures`, body);
  const held = async (id: string) => {
    const { rows } = await stack.database.query(
      `select (select jsonb_agg(to_jsonb(e) order by e.id) from events e where e.site_id = $1)::text events,
              (select jsonb_agg(to_jsonb(o) order by o.id) from ingest_fallback_buffer o where o.site_id = $1)::text outbox,
              (select md5(string_agg(l::text, '|' order by l.id)) from ingest_idempotency l where l.site_id = $1) ledger,
              (select jsonb_agg(to_jsonb(a) order by a.id) from audit_log a where a.site_id = $1 and a.action = 'payload_erase') audit`,
      [id],
    );
    return rows[0];
  };
  const waiting = async (id: string, name: string, more: object) => {
    const event = v3(name);
    Object.assign(event.payload as object, more);
    const { rows } = await stack.database.query(
      `select results from ingest($1::uuid, gen_random_uuid(), $2::jsonb, 'request-of-ann', '192.0.2.9', 'agent-of-ann')`,
      [id, JSON.stringify([event])],
    );
    return rows[0].results[0][1] as string;
  };

  test('takes the payloads of a session from events and outbox; ledger row and receipt stay, and the audit names nobody', async () => {
    const { id, public_id: s } = await staffedSite(stack);
    const gone = await send(s, 'gone', { sid: 'ann-session', meta: { fp: 'ann-print' } });
    const kept = await send(s, 'kept', { sid: 'bob-session' });
    await stack.delivered();
    const late = await waiting(id, 'late', { sid: 'ann-session' });
    const before = await held(id);
    const { body } = await erase(id, { sid: 'ann-session' });
    expect(body).toMatchObject({ ok: true, erased: '2', done: true });
    const after = await held(id);
    expect(after.ledger).toBe(before.ledger);
    expect(`${before.events}${before.outbox}`).toMatch(/ann-session.*agent-of-ann/s);
    expect(`${after.events}${after.outbox}${JSON.stringify(after.audit)}`).not.toMatch(
      /ann-|of-ann|192\.0\.2\.9|\/late/,
    );
    expect(after.audit).toMatchObject([
      { actor_id: userOf('owner').id, resource_type: 'events', payload: { erased: '2' } },
    ]);
    const receipt = async (of: string) => (await call('owner', 'GET', `/api/sites/${id}/events/${of}`)).body;
    for (const [of, status] of [
      [gone, 'delivered'],
      [late, 'waiting'],
    ] as const)
      expect(await receipt(of)).toMatchObject({
        ledger: { billable: true, payload_hash: expect.any(String) },
        delivery: { status, payload: { erased: true }, request_id: null },
      });
    expect((await receipt(kept)).delivery.payload).toMatchObject({ sid: 'bob-session' });
    expect((await erase(id, { sid: 'ann-session' })).body).toMatchObject({ erased: '0', done: true });
    expect(await send(s, 'gone', { sid: 'ann-session' })).toBeUndefined(); // still known: a duplicate or conflict, never billed again
    expect((await held(id)).ledger).toBe(before.ledger);
  });

  test('takes one event, or a fingerprint, and never those of another site', async () => {
    const [mine, theirs] = [await staffedSite(stack), await staffedSite(stack)];
    const [one] = [
      await send(mine.public_id, 'one', { meta: { fp: 'print' } }),
      await send(mine.public_id, 'two', { meta: { fp: 'print' } }),
    ];
    const foreign = await send(theirs.public_id, 'one', { meta: { fp: 'print' } });
    await stack.delivered();
    const erased = async (body: object) => (await erase(mine.id, body)).body.erased;
    expect([
      await erased({ ingest_id: foreign }),
      await erased({ ingest_id: one }),
      await erased({ fp: 'print' }),
    ]).toEqual(['0', '1', '1']);
    expect((await held(theirs.id)).events).toContain('print');
  });

  test('is not outrun by a delivery under way', async () => {
    const { id } = await staffedSite(stack);
    await waiting(id, 'moving', { sid: 'moving-session' });
    await stack.database.query('begin');
    await stack.database.query(
      'select move_rows(array(select id from ingest_fallback_buffer where site_id = $1))',
      [id],
    );
    const erasing = erase(id, { sid: 'moving-session' });
    for (let blocked = 0; blocked === 0; )
      blocked = (await stack.database.query(`select count(*)::int n from pg_locks where not granted`)).rows[0]
        .n;
    await stack.database.query('commit');
    expect((await erasing).body).toMatchObject({ erased: '1', done: true });
    expect((await held(id)).events).not.toContain('moving-session');
  });

  test.each([
    {},
    { sid: '' },
    { sid: 'a', fp: 'b' },
    { ingest_id: 'x' },
    { sid: 7 },
    { all: true },
    [],
    null,
  ])('of %j is refused, and not audited', async (body) => {
    const before = await held(site.id);
    expect(told(await erase(site.id, body))).toEqual([400, 'invalid_request']);
    expect(await held(site.id)).toEqual(before);
  });
});
