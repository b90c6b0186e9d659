// Recounts beside the page, which stays free meanwhile: takes pages of lines and answers how many there were, then the whole.
import { type Recounted, startRecount } from './recount.ts';

export type Asked = { lines: string } | { end: true };
export type Answered = { rows: number } | { recounted: Recounted } | { failed: string };

const recount = startRecount();
/** One after the other, for the lines have an order. */
let before: Promise<void> = Promise.resolve();

self.onmessage = ({ data }: MessageEvent<Asked>) => {
  before = before.then(() => answer(data)).catch((error: unknown) => reply({ failed: String(error) }));
};

async function answer(asked: Asked): Promise<void> {
  if ('end' in asked) reply({ recounted: await recount.end() });
  else reply({ rows: await recount.add(asked.lines) });
}

function reply(answered: Answered): void {
  self.postMessage(answered);
}
