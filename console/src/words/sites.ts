// The words of the pages of sites.
import { area } from './area.ts';
import { en } from './en.sites.ts';
import { tr } from './tr.sites.ts';

export const t = area(en, tr);
