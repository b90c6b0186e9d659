// Amounts and currencies as requests give them: taken exactly, or refused with one sentence. An amount is a bigint of minor units.
import { KernelError } from './errors.ts';

const most = 2n ** 63n - 1n;

/** A JSON number is taken only where JavaScript holds it exactly; everything else is a string of digits. */
export function parseAmountMinor(value: unknown): bigint {
  const text = typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : value;
  if (typeof text !== 'string' || !/^[1-9]\d{0,18}$/.test(text)) {
    throw new KernelError(
      'invalid_request',
      'amount_minor must be a whole number of minor units above zero, as a string of digits or a safe integer.',
    );
  }
  const amount = BigInt(text);
  if (amount > most) {
    throw new KernelError('invalid_request', `amount_minor must be at most ${most}.`);
  }
  return amount;
}

/** The form of a currency's code; whether it exists is the ledger's to say. */
export function parseCurrency(value: unknown): string {
  if (typeof value !== 'string' || !/^[A-Z][A-Z0-9_]{1,11}$/.test(value)) {
    throw new KernelError('invalid_request', 'currency must be a code such as USD or POINTS.');
  }
  return value;
}
