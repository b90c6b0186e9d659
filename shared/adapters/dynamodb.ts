// UsageCounter over DynamoDB: set to the ledger's own figure, never added to, so that a resend or a reordering cannot hurt.
import {
  ConditionalCheckFailedException,
  DynamoDBClient,
  GetItemCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import type { RateWindows, UsageCounter } from '../ports.ts';
import { addition, outcomeCounter } from './outcomes.ts';

/** How long after its end a window may stay before the table forgets it. */
const expiry_slack_s = 60;

export function usageCounter(table: string): UsageCounter {
  const client = new DynamoDBClient({
    maxAttempts: 1, // the next event writes a newer figure anyway
    requestHandler: { connectionTimeout: 500, requestTimeout: 1_000, throwOnRequestTimeout: true },
  });
  const counted = outcomeCounter(table, client);
  const key = (site: string, month: string) => ({ site_id: { S: site }, year_month: { S: month } });
  return {
    async set(site, month, used, asOf, outcomes = {}) {
      const { expression, names, values } = addition(outcomes);
      try {
        await client.send(
          new UpdateItemCommand({
            TableName: table,
            Key: key(site, month),
            UpdateExpression: `SET used = :used, as_of = :as_of ${expression}`,
            ConditionExpression: 'attribute_not_exists(as_of) OR as_of <= :as_of',
            ...(expression !== '' && { ExpressionAttributeNames: names }),
            ExpressionAttributeValues: {
              ...values,
              ':used': { N: String(used) },
              ':as_of': { N: String(asOf) },
            },
          }),
        );
      } catch (error) {
        if (!(error instanceof ConditionalCheckFailedException)) throw error;
        await counted.add(site, month, outcomes); // a later commit was faster
      }
    },
    async get(site, month) {
      const { Item } = await client.send(new GetItemCommand({ TableName: table, Key: key(site, month) }));
      if (!Item?.used?.N || !Item.as_of?.N) return null;
      return { used: BigInt(Item.used.N), asOf: BigInt(Item.as_of.N) };
    },
  };
}

/** Windows of requests over DynamoDB: one unconditional ADD a request; a resend counts twice, which is the safe side. */
export function rateWindows(table: string): RateWindows {
  const client = new DynamoDBClient({
    maxAttempts: 1, // a late answer is worth less than the fallback
    requestHandler: { connectionTimeout: 300, requestTimeout: 500, throwOnRequestTimeout: true },
  });
  return {
    async hit(window, ends_s) {
      const { Attributes } = await client.send(
        new UpdateItemCommand({
          TableName: table,
          Key: { rate_window: { S: window } },
          UpdateExpression: 'ADD requests :one SET expires_at = :expires_at',
          ExpressionAttributeValues: {
            ':one': { N: '1' },
            ':expires_at': { N: String(ends_s + expiry_slack_s) },
          },
          ReturnValues: 'UPDATED_NEW',
        }),
      );
      return Number(Attributes?.requests?.N);
    },
  };
}
