// Which failures a crash test tries at which step: the proof all of them, the check two of three, in turns.
import { proving } from './sections.ts';

/** Each step with each failure that is tried at it. */
export function inTurns<Step>(steps: readonly Step[], failures: object): (readonly [Step, string])[] {
  return steps.flatMap((step, nth) =>
    Object.keys(failures)
      .filter((_, n) => proving || (n + nth) % 3 !== 2)
      .map((failure) => [step, failure] as const),
  );
}
