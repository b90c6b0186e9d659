// The words of the page of events.
import { area } from './area.ts';
import { en } from './en.events.ts';
import { tr } from './tr.events.ts';

export const t = area(en, tr);
