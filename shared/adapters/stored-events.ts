// A provider's history as somebody has stored it: each event in the provider's own form, read into the kernel's words.
import type Stripe from 'stripe';
import { KernelError } from '../errors.ts';
import type { ProviderEvent } from '../ports.ts';
import { readEvent } from './mockpsp.ts';
import { readPayNowEvent } from './paynow.ts';
import { readStripeEvent } from './stripe-events.ts';

type Stored = Record<string, unknown>;

const readers: Record<string, (stored: Stored) => ProviderEvent | null> = {
  mockpsp: readEvent,
  paynow: (stored) => readPayNowEvent(stored, Date.now()),
  stripe: (stored) => readStripeEvent(stored as unknown as Stripe.Event),
};

/**
 * The events that concern money here; the others are left out.
 * @throws KernelError `UNSUPPORTED_PROVIDER`, or that of the first event that cannot be read, with its place.
 */
export function readStored(provider: string, stored: Stored[]): ProviderEvent[] {
  const reader = readers[provider];
  if (!reader) throw new KernelError('UNSUPPORTED_PROVIDER', 'There is no such payment provider.');
  return stored.flatMap((one, n) => {
    try {
      return reader(one) ?? [];
    } catch (error) {
      const reason = error instanceof KernelError ? error.message : 'It is not an event of this provider.';
      throw new KernelError('INVALID_WEBHOOK', `Event ${n + 1}: ${reason}`, { cause: error });
    }
  });
}
