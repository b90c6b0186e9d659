// The words of findings and reconciliations.
import { area } from './area.ts';
import { en } from './en.findings.ts';
import { tr } from './tr.findings.ts';

export const t = area(en, tr);
/** What was found, in the language of the person; what has no words reads as the kernel wrote it. */
export const messageOf = ({ finding_type, message }: { finding_type: string; message: string }): string => {
  const key = `says_${finding_type}`;
  return key in en ? (t as (key: string) => string)(key) : message;
};
/** What a type of finding means; a type without words reads as it is. */
export const typeWord = (type: string): string => {
  const key = `type_${type}`;
  return key in en ? (t as (key: string) => string)(key) : type.replaceAll('_', ' ').toLowerCase();
};
