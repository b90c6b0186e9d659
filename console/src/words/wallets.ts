// The words of wallets and the books.
import { area } from './area.ts';
import { en } from './en.wallets.ts';
import { tr } from './tr.wallets.ts';

export const t = area(en, tr);
