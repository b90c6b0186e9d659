// Guarantee 4 over HTTP: a hard limit of N admits exactly N, through the whole stack and 32 clients at once.
import { beforeAll, expect, test } from 'vitest';
import { overlappingBatches, random } from '../support/random.ts';
import { sharedStack } from '../support/shared-stack.ts';
import type { TestStack } from '../support/stack.ts';

const seed = 4;
const clients = 32;
const limit = 1_000;
const ids = 5_000;

let stack: TestStack;
beforeAll(async () => {
  stack = await sharedStack();
});

test(`5,000 ids and a fifth of them again, in overlapping batches by ${clients} clients on two sites, leave exactly 1,000 everywhere`, async () => {
  const source = random(seed);
  const sites = [await newSite(), await newSite()];
  const work = source.shuffle(sites.flatMap((site) => batchesOf(site).map((events) => ({ site, events }))));
  const accepted = new Map<string, string[]>(sites.map(({ id }) => [id, []]));
  const statuses = new Map<number, number>();

  const client = async () => {
    for (let item = work.pop(); item; item = work.pop()) {
      const answer = await stack.sync({ events: item.events });
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      for (const { id, status } of answer.body.results ?? [])
        if (status === 'queued') accepted.get(item.site.id)?.push(id);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  await stack.delivered();

  expect([...statuses.keys()].sort()).toEqual([200, 429]);
  for (const { id } of sites) {
    const told = accepted.get(id) ?? [];
    expect(told).toHaveLength(limit);
    expect(new Set(told).size).toBe(limit);
    expect(await stack.counts(id)).toEqual({
      billable: limit,
      usage: limit,
      outbox: 0,
      events: limit,
      counter: limit,
    });
    const { rows } = await stack.database.query(
      `select array_agg(payload ->> 'i' order by payload ->> 'i' collate "C") ids from events where site_id = $1`,
      [id],
    );
    expect(rows[0].ids).toEqual(told.sort());
  }

  function batchesOf({ public_id }: { public_id: string }) {
    const events = Array.from({ length: ids }, (_, n) => ({
      s: public_id,
      i: `event-${n}`,
      url: 'https://example.com/',
    }));
    return overlappingBatches(events, 0.2, 50, source);
  }
});

test('200 identical requests by 32 clients bill once', async () => {
  const site = await newSite();
  const outcomes: string[] = [];
  let sent = 0;
  const client = async () => {
    while (sent++ < 200) {
      const { body } = await stack.sync({ s: site.public_id, i: 'the-same', url: 'https://example.com/' });
      outcomes.push(body.status);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  await stack.delivered();
  expect(outcomes.sort()).toEqual([...Array.from({ length: 199 }, () => 'duplicate'), 'queued']);
  expect(await stack.counts(site.id)).toEqual({ billable: 1, usage: 1, outbox: 0, events: 1, counter: 1 });
});

/** With room for every request: the rate limit is another test's concern. */
async function newSite(): Promise<{ id: string; public_id: string }> {
  const { body } = await stack.admin('POST', '/sites', {
    name: 'Exactly N',
    origins: ['https://example.com'],
    rate_limit: 1_000_000,
    plan: { monthly_limit: String(limit) },
  });
  return body;
}
