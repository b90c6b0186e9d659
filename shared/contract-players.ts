// The contract of what finance knows of the players of its tenant, and sets for them: identity, balances and limits.
import * as z from 'zod';
import { finance } from './contract-finance.ts';
import { balance, balanceFields, declined, neededKey, player } from './contract-money.ts';
import type { Operation } from './contract-operation.ts';
import { count, instant, ok, signedCount, uuid } from './contract-schemas.ts';
import { adjustment, kycInput, legacyInput, policyInput, verificationInput } from './player.ts';

const wallet = z
  .strictObject({
    ...balanceFields,
    ledger: z
      .strictObject({
        balance_real_available: signedCount,
        balance_real_pending: signedCount,
        balance_bonus_available: signedCount,
        balance_bonus_pending: signedCount,
        updated_at: instant,
      })
      .nullable(),
    legacy: z.strictObject({ available: signedCount, held: signedCount }).nullable(),
  })
  .meta({ id: 'Wallet', description: 'What is shown, what the ledger holds, what the legacy row says.' });
const policy = z
  .strictObject({
    tenant_id: z.string(),
    ...Object.fromEntries(Object.keys(policyInput.shape).map((name) => [name, z.int()])),
  })
  .meta({ id: 'MoneyPolicy', description: 'Limits of a tenant; units are whole units of a currency.' });

const playerPath = z.object({ id: uuid.meta({ description: 'The player_id.' }) });

const players: Operation[] = [
  finance(
    {
      ...{ id: 'readPlayer', method: 'get', path: '/admin/players/{id}/wallet', summary: 'A player' },
      description: 'A player of the tenant with each wallet.',
    },
    {
      answer: ok({ player, wallets: z.array(wallet) }),
      parameters: { path: playerPath },
      refusals: declined(['PLAYER_NOT_FOUND']),
    },
  ),
  finance(
    {
      ...{ id: 'decideKyc', method: 'post', path: '/admin/players/{id}/kyc', summary: 'Decide an identity' },
      description:
        'Approves the identity of a player, or rejects it with a reason; nobody decides their own.',
    },
    {
      answer: ok({ player }),
      input: kycInput,
      parameters: { path: playerPath },
      refusals: declined(['PLAYER_NOT_FOUND', 'FOUR_EYES', 'REASON_REQUIRED']),
    },
  ),
  finance(
    {
      ...{ id: 'verifyPlayer', method: 'post', path: '/admin/players/{id}/verification' },
      summary: 'E-mail and telephone',
      description: 'Writes down whether a player’s e-mail address and telephone are verified.',
    },
    {
      answer: ok({ player }),
      input: verificationInput,
      mayBeEmpty: true,
      parameters: { path: playerPath },
      refusals: declined(['PLAYER_NOT_FOUND', 'FOUR_EYES']),
    },
  ),
];
const corrected = { balance, idempotent_replay: z.boolean() };
const administration: Operation[] = [
  finance(
    {
      ...{ id: 'adjustBalance', method: 'post', path: '/admin/ledger/adjust', summary: 'Correct a balance' },
      description: 'Adds to a player’s available balance or, below zero, takes away; needs a reason.',
    },
    {
      answer: ok(corrected),
      input: adjustment,
      keyed: true,
      parameters: { header: z.object({ 'idempotency-key': neededKey }) },
      refusals: declined(
        [
          ...(['PLAYER_NOT_FOUND', 'FOUR_EYES', 'REASON_REQUIRED', 'CURRENCY_UNKNOWN'] as const),
          ...(['INSUFFICIENT_FUNDS', 'BALANCE_OUT_OF_RANGE', 'IDEMPOTENCY_CONFLICT'] as const),
        ],
        { keyed: true, more: corrected },
      ),
      errors: ['IDEMPOTENCY_KEY_REQUIRED'],
    },
  ),
  finance(
    {
      ...{ id: 'readMoneyPolicy', method: 'get', path: '/admin/policy', summary: 'Limits' },
      description: 'The limits in force for the tenant.',
    },
    { answer: ok({ policy }) },
  ),
  finance(
    {
      ...{ id: 'setMoneyPolicy', method: 'put', path: '/admin/policy', summary: 'Set limits' },
      description:
        'Replaces the limits of a tenant; what is not named has its default. Needs a platform admin.',
    },
    { answer: ok({ policy }), input: policyInput, mayBeEmpty: true },
  ),
  finance(
    {
      ...{ id: 'importLegacyBalances', method: 'post', path: '/admin/legacy-balances' },
      summary: 'Import balances',
      description:
        'Takes over balances of the system before; a row that is known is replaced. Needs a platform admin.',
    },
    { answer: ok({ imported: count }), input: legacyInput },
  ),
];

export const playerOperations: Operation[] = [...players, ...administration];
