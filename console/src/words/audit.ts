// The words of the audit log.
import { area } from './area.ts';
import { en } from './en.audit.ts';
import { tr } from './tr.audit.ts';

export const t = area(en, tr);
