// Words that all pages of money share: states, accounts, refusals.
import { area } from './area.ts';
import { en } from './en.money.ts';
import { tr } from './tr.money.ts';

export const t = area(en, tr);
/** The words of a value that the contract leaves open, such as a kind of movement; the value itself where there are none. */
export const word = (prefix: string, value: string): string => {
  const key = `${prefix}_${value}`;
  return key in en ? (t as (key: string) => string)(key) : value.replaceAll('_', ' ');
};
export type Key = keyof typeof en;
