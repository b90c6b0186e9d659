// Which provider carries a payment method for a tenant, and what a shop's products credit.
import * as z from 'zod';
import { parse } from './input.ts';
import { ask, type Staff } from './money-answer.ts';
import type { Database } from './ports.ts';

const name = (max: number) =>
  z.string('must be a text').min(1, 'must not be empty').max(max, `must have at most ${max} characters`);
export const methodInput = z.strictObject(
  { method: name(64), provider: name(64), everybody: z.boolean('must be true or false').default(false) },
  'must be a JSON object',
);
export const productInput = z.strictObject(
  {
    provider: z.string('must be a text').regex(/^[a-z0-9_-]{1,64}$/, 'must be the name of a provider'),
    product_id: name(128),
    points: z
      .string('must be a string of digits')
      .regex(/^[1-9]\d{0,17}$/, 'must be a string of digits above zero'),
    currency: z
      .string('must be a text')
      .regex(/^[A-Z][A-Z0-9_]{1,11}$/, 'must be a code such as POINTS')
      .default('POINTS'),
  },
  'must be a JSON object',
);

export const listMethods = (database: Database, { tenant }: Staff) =>
  ask(database, 'list_payment_methods(:tenant)', { tenant });

/** For one tenant, or with `everybody` for all that have no row of their own. */
export function setMethod(database: Database, { tenant, actor }: Staff, input: unknown) {
  const { method, provider, everybody } = parse(methodInput, input);
  return ask(database, 'set_payment_method(:tenant, :method, :provider, :actor)', {
    tenant: everybody ? '*' : tenant,
    ...{ method, provider, actor },
  });
}

export const customerInput = z.strictObject(
  { provider: name(64), customer_id: name(128), player_id: z.uuid('must be a UUID') },
  'must be a JSON object',
);

/** Says which player a provider's customer is, for events that name only the customer. */
export function setCustomer(database: Database, { tenant, actor }: Staff, input: unknown) {
  const { provider, customer_id: customer, player_id: player } = parse(customerInput, input);
  return ask(database, 'set_provider_customer(:tenant, :provider, :customer, :player::uuid, :actor)', {
    ...{ tenant, provider, customer, player, actor },
  });
}

export const listProducts = (database: Database, { tenant }: Staff) =>
  ask(database, 'list_products(:tenant)', { tenant });

export async function setProduct(database: Database, { tenant, actor }: Staff, input: unknown) {
  const { provider, product_id, points, currency } = parse(productInput, input);
  const product = await ask(
    database,
    'set_product(:tenant, :provider, :product, :points::bigint, :currency, :actor)',
    { tenant, provider, product: product_id, points, currency, actor },
  );
  return { outcome: 'done' as const, product };
}
