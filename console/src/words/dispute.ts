// The words of the dispute export.
import { area } from './area.ts';
import { en } from './en.dispute.ts';
import { tr } from './tr.dispute.ts';

export const t = area(en, tr);
