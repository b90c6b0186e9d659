// The words of invoices and their proof.
import { area } from './area.ts';
import { en } from './en.invoices.ts';
import { tr } from './tr.invoices.ts';

export const t = area(en, tr);
