// The words of the shell, the session and the parts.
import { area } from './area.ts';
import { en } from './en.ts';
import { tr } from './tr.ts';

export const t = area(en, tr);
export type Key = keyof typeof en;
