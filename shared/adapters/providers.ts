// The payment providers that the kernel speaks with: a new one is a file beside this, a line here, and a row in payment_providers.
import type { Database, PaymentProviders, ProviderSecret, Secrets } from '../ports.ts';
import { mockPsp } from './mockpsp.ts';
import { payNow } from './paynow.ts';
import { stripe } from './stripe.ts';

/** @param arns JSON object: provider → ARN of its secret. */
export function paymentProviders(database: Database, secrets: Secrets, arns: string): PaymentProviders {
  const arn = JSON.parse(arns) as Record<string, string>;
  const secret = async (name: string) => JSON.parse(await secrets.get(arn[name] ?? '')) as ProviderSecret;
  const known = [mockPsp(database), stripe(() => secret('stripe')), payNow()];
  return { of: (name) => known.find((provider) => provider.name === name), all: () => known, secret };
}
