// The words of jobs and backfills.
import { area } from './area.ts';
import { en } from './en.jobs.ts';
import { tr } from './tr.jobs.ts';

export const t = area(en, tr);
