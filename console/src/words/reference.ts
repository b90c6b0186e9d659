// The words of the API reference.
import { area } from './area.ts';
import { en } from './en.reference.ts';
import { tr } from './tr.reference.ts';

export const t = area(en, tr);
