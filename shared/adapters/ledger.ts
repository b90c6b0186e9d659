// The way to the ledger that the stage has chosen: the Data API, or straight to Postgres through RDS Proxy.
import type { DatabaseEnvironment } from '../config.ts';
import type { Database } from '../ports.ts';
import { dataApi } from './data-api.ts';
import { observedLedger } from './ledger-failures.ts';
import { postgres } from './postgres.ts';

export interface LedgerOptions {
  /** How often a call may be made: 1 for one that must not begin anew while the first may be at work still. */
  attempts?: number;
  request_timeout_ms?: number;
}

export function ledger(environment: DatabaseEnvironment, options: LedgerOptions = {}): Database {
  const { LEDGER_ACCESS, DATABASE_HOST } = environment;
  if (LEDGER_ACCESS === 'data-api') return observedLedger(dataApi(environment, options));
  if (LEDGER_ACCESS === 'proxy' && DATABASE_HOST !== undefined) {
    return observedLedger(postgres({ ...environment, DATABASE_HOST }, options));
  }
  throw new Error(`LEDGER_ACCESS is "${LEDGER_ACCESS}": it must be data-api, or proxy with DATABASE_HOST.`);
}
