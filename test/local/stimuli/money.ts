// What makes `money` use each of its grants: a player who looks at the own balance.
import { callsOf } from '../../support/callers.ts';
import type { Stimuli, Stimulus } from '../least-privilege.ts';

const balance: Stimulus =
  ({ stack }) =>
  () =>
    callsOf(stack)('player', 'GET', '/api/v1/player/wallet/balance');

export default {
  'rds-data:ExecuteStatement on local-cluster': balance,
  'secretsmanager:GetSecretValue on LedgerkernelmoneySecret': balance,
} satisfies Stimuli;
