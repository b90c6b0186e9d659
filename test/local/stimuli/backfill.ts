// What makes `backfill` use each of its grants: a run.
import { ledger, type Stimuli } from '../least-privilege.ts';

export default { ...ledger('backfill', 'kerneljobs') } satisfies Stimuli;
