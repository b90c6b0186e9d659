// The script tag's build: starts a tracker from the tag's own attributes and carries out what the page asked for before it came.
import { createTracker, type Options } from './browser.ts';

type Call = [verb: string, ...told: unknown[]];
type Verbs = Record<string, (...told: never[]) => unknown>;

const { src, dataset } = document.currentScript as HTMLScriptElement;
const page = window as unknown as { kernel?: unknown };
const options = { url: new URL('/api/sync', src), ...dataset } as unknown as Options;
const tracker = createTracker(options) as unknown as Verbs;
tracker.push = ([verb, ...told]: Call) => tracker[verb]?.(...(told as never[]));
(page.kernel as Call[] | undefined)?.map(tracker.push as (call: Call) => unknown);
page.kernel = tracker;
