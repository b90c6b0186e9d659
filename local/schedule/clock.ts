// Where schedules get their time from: the system's, or one that a test moves by hand.

export interface Clock {
  now(): Date;
  /** Runs `task` at the time, or at once when it has passed. The answer cancels it. */
  setTimer(at: Date, task: () => void): () => void;
}

const LONGEST_TIMEOUT_MS = 2 ** 31 - 1; // a longer setTimeout fires at once

export const systemClock: Clock = {
  now: () => new Date(),
  setTimer(at, task) {
    let timer: NodeJS.Timeout;
    const arm = (): void => {
      const left = at.getTime() - Date.now();
      timer =
        left > LONGEST_TIMEOUT_MS ? setTimeout(arm, LONGEST_TIMEOUT_MS) : setTimeout(task, Math.max(0, left));
      timer.unref(); // a schedule alone does not keep the process alive
    };
    arm();
    return () => clearTimeout(timer);
  },
};

export interface FakeClock extends Clock {
  /** Moves the time on and runs every timer on the way, in order, each at its own time. */
  advance(milliseconds: number): Promise<void>;
  advanceTo(time: Date | string): Promise<void>;
}

export function fakeClock(start: Date | string): FakeClock {
  let now = new Date(start);
  let timers: { at: number; task: () => void }[] = [];
  const advanceTo = async (time: Date | string): Promise<void> => {
    const end = new Date(time).getTime();
    for (;;) {
      const next = timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      timers = timers.filter((one) => one !== next);
      now = new Date(Math.max(now.getTime(), next.at));
      next.task();
      await new Promise((resolve) => setImmediate(resolve));
    }
    now = new Date(Math.max(now.getTime(), end));
  };
  return {
    now: () => new Date(now),
    setTimer(at, task) {
      const timer = { at: at.getTime(), task };
      timers.push(timer);
      return () => {
        timers = timers.filter((one) => one !== timer);
      };
    },
    advanceTo,
    advance: (milliseconds) => advanceTo(new Date(now.getTime() + milliseconds)),
  };
}
