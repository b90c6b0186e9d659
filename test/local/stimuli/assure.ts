// What makes `assure` use each of its grants: a run.
import { ledger, type Stimuli } from '../least-privilege.ts';

export default { ...ledger('assure', 'kerneljobs') } satisfies Stimuli;
