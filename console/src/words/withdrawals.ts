// The words of the withdrawals.
import { area } from './area.ts';
import { en } from './en.withdrawals.ts';
import { tr } from './tr.withdrawals.ts';

export const t = area(en, tr);
