// How a command calls the doors of the jobs: the cron secret, one answer, and its plain figures.
import { type Answer, exchange, refusal } from './api.ts';
import { type Call, Failure, type Option } from './command.ts';
import { note, print, printJson, shown, table } from './output.ts';
import { findCronSecret } from './target.ts';

export const secretOption: Record<string, Option> = {
  secret: {
    type: 'string',
    value: 'SECRET',
    help: 'the cron secret (default: KERNEL_CRON_SECRET, then .local)',
  },
};

export type JobAnswer = { ok: boolean } & Record<string, unknown>;

/** One call of a job's door, with whatever it answers. */
export function knock(call: Call, method: 'GET' | 'POST', path: string, body?: object): Promise<Answer> {
  const { url } = call.target();
  const authorization = `Bearer ${findCronSecret(call.values, url)}`;
  return exchange(url, method, `/api/cron/${path}`, { authorization }, body);
}

/** Starts a job; one that ran and failed in part answers `ok: false` with its figures, which is no refusal. */
export async function start(call: Call, path: string, body?: object): Promise<JobAnswer> {
  const { status, body: answer } = await knock(call, 'POST', path, body);
  const result = answer as (JobAnswer & { error?: unknown }) | undefined;
  const ran = typeof result?.ok === 'boolean' && result.error === undefined;
  if (!ran || (status !== 200 && status !== 500)) throw new Failure(refusal(status, answer));
  return result;
}

/** Prints the plain figures of an answer and names what failed; `--json` prints the answer as it is. */
export function report(answer: JobAnswer, json: boolean): number {
  const figures = Object.entries(answer).filter(([, value]) => typeof value !== 'object');
  if (json) printJson(answer);
  else print(table(figures.map(([name, value]) => [name, shown(String(value))])));
  for (const one of failures(answer)) note(`${one.site_id} ${one.year_month ?? ''}: ${one.error}`);
  return answer.ok ? 0 : 1;
}

function failures(answer: JobAnswer): { site_id?: string; year_month?: string; error?: string }[] {
  const items = [answer.results, answer.months].find(Array.isArray) ?? [];
  return items.filter((item: { error?: string }) => item.error !== undefined);
}
