// The languages of the console say the same with the same values.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

type Form = string | Record<string, string>;
const folder = join(import.meta.dirname, '../../console/src/words');
const areas = readdirSync(folder).filter((name) => /^en(\.\w+)?\.ts$/.test(name));

test.each(areas)('%s and its Turkish twin have the same words with the same values', async (name) => {
  const { en } = (await import(join(folder, name))) as { en: Record<string, Form> };
  const { tr } = (await import(join(folder, name.replace(/^en/, 'tr')))) as { tr: Record<string, Form> };
  expect(Object.keys(tr).sort()).toEqual(Object.keys(en).sort());
  for (const [key, form] of Object.entries(en)) {
    expect([key, ...valuesIn(tr[key])]).toEqual([key, ...valuesIn(form)]);
    expect([key, JSON.stringify(tr[key]).includes('""')]).toEqual([key, false]);
  }
});

function valuesIn(form: Form | undefined): string[] {
  const text = typeof form === 'string' ? form : (form?.other ?? '');
  return [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? '').sort();
}
