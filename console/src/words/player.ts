// The words of a player's own wallet.
import { area } from './area.ts';
import { en } from './en.player.ts';
import { tr } from './tr.player.ts';

export const t = area(en, tr);
