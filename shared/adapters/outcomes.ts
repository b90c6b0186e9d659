// OutcomeCounter over DynamoDB: counts stand in the usage item of a site's month, so an accepted request writes them with its usage.
import { DynamoDBClient, GetItemCommand, ScanCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { outcome_names } from '../metrics.ts';
import type { OutcomeCounter } from '../ports.ts';

/** 1 MB each: some 500,000 months of sites; beyond that the totals are refused rather than wrong. */
const scan_pages_max = 100;

type Item = Record<string, { N?: string | undefined }>;

export function outcomeCounter(table: string, shared?: DynamoDBClient): OutcomeCounter {
  const client =
    shared ??
    new DynamoDBClient({
      maxAttempts: 1, // an ADD that is sent twice counts twice
      requestHandler: { connectionTimeout: 500, requestTimeout: 1_000, throwOnRequestTimeout: true },
    });
  const key = (site: string, month: string) => ({ site_id: { S: site }, year_month: { S: month } });
  return {
    async add(site, month, counts) {
      const { expression, names, values } = addition(counts);
      if (expression === '') return;
      await client.send(
        new UpdateItemCommand({
          TableName: table,
          Key: key(site, month),
          UpdateExpression: expression,
          ExpressionAttributeNames: names,
          ExpressionAttributeValues: values,
        }),
      );
    },
    async ofSite(site, month) {
      const { Item } = await client.send(new GetItemCommand({ TableName: table, Key: key(site, month) }));
      return sum(Item ? [Item] : []);
    },
    async totals() {
      const items: Item[] = [];
      let from: Record<string, never> | undefined;
      for (let page = 0; page === 0 || from; page++) {
        if (page === scan_pages_max) throw new Error('The usage table is too large to be summed.');
        const { Items = [], LastEvaluatedKey } = await client.send(
          new ScanCommand({
            TableName: table,
            ProjectionExpression: outcome_names.map((_, n) => `#n${n}`).join(', '),
            ExpressionAttributeNames: Object.fromEntries(outcome_names.map((name, n) => [`#n${n}`, name])),
            ExclusiveStartKey: from,
          }),
        );
        items.push(sumItem(Items));
        from = LastEvaluatedKey as typeof from;
      }
      return sum(items);
    },
  };
}

/** The ADD of an update for the counts above zero; empty when there is none. */
export function addition(counts: Record<string, number>) {
  const added = Object.entries(counts).filter(([, count]) => count > 0);
  return {
    expression: added.length === 0 ? '' : `ADD ${added.map((_, n) => `#n${n} :v${n}`).join(', ')}`,
    names: Object.fromEntries(added.map(([name], n) => [`#n${n}`, name])),
    values: Object.fromEntries(added.map(([, count], n) => [`:v${n}`, { N: String(count) }])),
  };
}

function sum(items: Item[]): Record<string, string> {
  const totals: Record<string, bigint> = {};
  for (const item of items) {
    for (const name of outcome_names) totals[name] = (totals[name] ?? 0n) + BigInt(item[name]?.N ?? 0);
  }
  return Object.fromEntries(Object.entries(totals).map(([name, total]) => [name, String(total)]));
}

/** A page as one item, so that memory does not grow with the table. */
function sumItem(items: Item[]): Item {
  return Object.fromEntries(Object.entries(sum(items)).map(([name, N]) => [name, { N }]));
}
