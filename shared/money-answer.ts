// What every verb of money answers: the ledger's own words, a refusal included; and the key that each call needs.
import { ask as askLedger } from './ask.ts';
import { KernelError } from './errors.ts';
import type { Database, Parameter } from './ports.ts';

/** An answer of the ledger: done, or refused with a code and a sentence; `replayed` when an earlier call had it first. */
export interface MoneyAnswer {
  outcome: 'done' | 'refused' | 'conflict';
  code?: string;
  sentence?: string;
  replayed?: true;
  tx_id?: string;
  [field: string]: unknown;
}

/** What a verb of the ledger answered. */
export const ask: (
  database: Database,
  call: string,
  parameters: Record<string, Parameter>,
) => Promise<MoneyAnswer> = askLedger;

/** @throws KernelError `IDEMPOTENCY_KEY_REQUIRED` without a key of 1 to 200 printable characters. */
export function requireKey(key: string | undefined): string {
  const found = optionalKey(key);
  if (found === null) {
    throw new KernelError('IDEMPOTENCY_KEY_REQUIRED', 'The header Idempotency-Key is required.');
  }
  return found;
}

/** For calls whose repetition the state of the withdrawal makes harmless. */
export function optionalKey(key: string | undefined): string | null {
  if (key === undefined || key.trim() === '') return null;
  if (!/^[\x20-\x7e]{1,200}$/.test(key)) {
    throw new KernelError(
      'IDEMPOTENCY_KEY_REQUIRED',
      'The header Idempotency-Key must hold 1 to 200 printable ASCII characters.',
    );
  }
  return key;
}

/** Whose rows a member of finance works with, and who it is. */
export interface Staff {
  tenant: string;
  actor: string;
}
