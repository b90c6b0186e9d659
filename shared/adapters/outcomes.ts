// OutcomeCounter over DynamoDB: one item for a site's month, and a few shards for the totals, so that no item is hot for all.
import {
  BatchGetItemCommand,
  DynamoDBClient,
  GetItemCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import type { OutcomeCounter } from '../ports.ts';

const total_shards = 8;

export function outcomeCounter(table: string): OutcomeCounter {
  const client = new DynamoDBClient({
    maxAttempts: 1, // an ADD that is sent twice counts twice
    requestHandler: { connectionTimeout: 500, requestTimeout: 1_000, throwOnRequestTimeout: true },
  });
  const siteKey = (site: string, month: string) => ({
    site_id: { S: site },
    year_month: { S: `${month}#outcomes` },
  });
  const totalKey = (shard: number) => ({ site_id: { S: '*' }, year_month: { S: `outcomes#${shard}` } });
  return {
    async add(site, month, counts) {
      const names = Object.entries(counts).filter(([, count]) => count > 0);
      if (names.length === 0) return;
      const update = {
        TableName: table,
        UpdateExpression: `ADD ${names.map((_, n) => `#n${n} :v${n}`).join(', ')}`,
        ExpressionAttributeNames: Object.fromEntries(names.map(([name], n) => [`#n${n}`, name])),
        ExpressionAttributeValues: Object.fromEntries(
          names.map(([, count], n) => [`:v${n}`, { N: String(count) }]),
        ),
      };
      const shard = Math.floor(Math.random() * total_shards);
      await Promise.all(
        [siteKey(site, month), totalKey(shard)].map((Key) =>
          client.send(new UpdateItemCommand({ ...update, Key })),
        ),
      );
    },
    async ofSite(site, month) {
      const { Item } = await client.send(
        new GetItemCommand({ TableName: table, Key: siteKey(site, month), ConsistentRead: true }),
      );
      return sum(Item ? [Item] : []);
    },
    async totals() {
      const Keys = Array.from({ length: total_shards }, (_, shard) => totalKey(shard));
      const { Responses } = await client.send(
        new BatchGetItemCommand({ RequestItems: { [table]: { Keys, ConsistentRead: true } } }),
      );
      return sum(Responses?.[table] ?? []);
    },
  };
}

function sum(items: Record<string, { N?: string | undefined }>[]): Record<string, string> {
  const totals: Record<string, bigint> = {};
  for (const item of items) {
    for (const [name, { N }] of Object.entries(item))
      if (N !== undefined) totals[name] = (totals[name] ?? 0n) + BigInt(N);
  }
  return Object.fromEntries(Object.entries(totals).map(([name, total]) => [name, String(total)]));
}
