// The words of feature flags.
import { area } from './area.ts';
import { en } from './en.flags.ts';
import { tr } from './tr.flags.ts';

export const t = area(en, tr);
