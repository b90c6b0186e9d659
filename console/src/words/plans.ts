// The words of the page of plans.
import { area } from './area.ts';
import { en } from './en.plans.ts';
import { tr } from './tr.plans.ts';

export const t = area(en, tr);
