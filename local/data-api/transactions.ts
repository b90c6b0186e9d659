// The transactions that callers have opened, each on a connection of its own until it is ended or forgotten.
import { randomUUID } from 'node:crypto';
import type { PoolClient } from 'pg';
import { refuse, transactionNotFound } from './errors.ts';
import type { Pools, Target } from './pools.ts';

/** Who calls; the ends of a transaction name no database, the statements in it may. */
export type Caller = { username: string; database?: string | undefined };
type Open = { client: PoolClient; target: Target; busy: boolean; idle: NodeJS.Timeout };

export type Transactions = {
  begin(target: Target): Promise<string>;
  /** Runs work inside the transaction; when it fails the transaction is over, as it is for Postgres. */
  use<T>(id: string, caller: Caller, work: (client: PoolClient) => Promise<T>): Promise<T>;
  end(id: string, caller: Caller, verb: 'COMMIT' | 'ROLLBACK'): Promise<void>;
  close(): void;
};

export function createTransactions(pools: Pools, idleMs: number): Transactions {
  const open = new Map<string, Open>();

  const find = (id: string, caller: Caller): Open => {
    const found = open.get(id);
    // The identifier alone gives no access: it must come with the secret of the role that began.
    if (found?.target.username !== caller.username) throw transactionNotFound(id);
    if (caller.database !== undefined && caller.database !== found.target.database) {
      throw refuse('BadRequestException', 'Database name is not the same as the one of the transaction');
    }
    if (found.busy) throw refuse('DatabaseErrorException', 'Transaction is still running a query');
    return found;
  };
  const close = async (id: string, verb: 'COMMIT' | 'ROLLBACK'): Promise<void> => {
    const found = open.get(id);
    if (!found) return;
    open.delete(id);
    clearTimeout(found.idle);
    try {
      await found.client.query(verb);
      found.client.release();
    } catch (error) {
      found.client.release(true);
      throw error;
    }
  };
  const forget = (id: string) => close(id, 'ROLLBACK').catch(() => {});
  const arm = (id: string) => setTimeout(() => void forget(id), idleMs).unref();

  return {
    async begin(target) {
      const client = await pools.hold(target);
      try {
        await client.query('BEGIN');
      } catch (error) {
        client.release(true);
        throw error;
      }
      const id = randomUUID();
      open.set(id, { client, target, busy: false, idle: arm(id) });
      return id;
    },
    async use(id, caller, work) {
      const found = find(id, caller);
      found.busy = true;
      clearTimeout(found.idle);
      try {
        const result = await work(found.client);
        // The statement may itself have been a COMMIT.
        if (found.client.getTransactionStatus() === 'T') found.idle = arm(id);
        else await forget(id);
        return result;
      } catch (error) {
        await forget(id);
        throw error;
      } finally {
        found.busy = false;
      }
    },
    async end(id, caller, verb) {
      find(id, caller);
      await close(id, verb);
    },
    close() {
      for (const { client, idle } of open.values()) {
        clearTimeout(idle);
        client.release(true);
      }
      open.clear();
    },
  };
}
