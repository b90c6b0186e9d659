// Faults at random, drawn so that a seed decides them: the same for the nth call of a seam in every run.
import type { DoorCall } from '../../local/door/faults.ts';
import type { Effect } from './door-faults.ts';

/** Faults at random: the nth call of a seam has the same fault in every run of one seed. */
export interface Storm {
  seed: number;
  /** Of 1,000 chances at each point of each call. */
  perMille: { drop: number; error: number; delay: number; kill: number };
  callers: string[];
}

const errors: Record<string, [name: string, status: number]> = {
  'rds-data': ['ServiceUnavailableError', 503],
  dynamodb: ['InternalServerError', 500],
  sqs: ['ServiceUnavailable', 503],
  secretsmanager: ['InternalServiceError', 500],
};

/** What the storm does to the nth call of the seam at this point, if anything. */
export function byStorm(
  storm: Storm | undefined,
  point: string,
  call: DoorCall,
  nth: number,
  seam: string,
): Effect | undefined {
  if (!storm?.callers.includes(call.identity)) return undefined;
  const draw = chance(storm.seed, `${seam} ${point} ${nth}`);
  const { drop, error, delay, kill } = storm.perMille;
  const mortal = call.identity !== 'operator'; // the event source has no instance that could be killed
  if (draw < drop) return { kind: 'drop' };
  if (draw < drop + error) {
    const [name, status] = errors[call.service] ?? ['InternalFailure', 500];
    return { kind: 'error', error: name, status };
  }
  if (draw < drop + error + delay) return { kind: 'delay', ms: 1 + (draw % 97) };
  if (draw < drop + error + delay + kill && mortal) return { kind: 'kill' };
  return undefined;
}

/** A number from 0 to 999 that only the seed and the name decide. */
export function chance(seed: number, name: string): number {
  let hash = 0x811c9dc5 ^ seed;
  for (const letter of name) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39);
  return ((hash ^ (hash >>> 15)) >>> 0) % 1000;
}
