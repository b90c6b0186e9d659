// The words of the first page.
import { area } from './area.ts';
import { en } from './en.overview.ts';
import { tr } from './tr.overview.ts';

export const t = area(en, tr);
export type Key = keyof typeof en;
