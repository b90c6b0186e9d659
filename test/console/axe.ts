// What axe finds on a page, in both themes and at three widths; run beside the page's policy, which allows no foreign script.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { proving } from '../faults/sections.ts';

const source = readFileSync(join(import.meta.dirname, '../../node_modules/axe-core/axe.min.js'), 'utf8');
const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
export const widths = [360, 768, 1440];
/** What a quick run looks at, in turns: the narrow page in the dark, the wide one in the light. The proof looks at all six. */
const quick = ['dark 360', 'light 1440'];
let turn = 0;

/** Each violation as "theme width rule: elements"; and a page that is wider than its window. */
export async function violations(page: Page, only = widths): Promise<string[]> {
  const found: string[] = [];
  const one = quick[turn++ % quick.length];
  for (const theme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme: theme });
    for (const width of only) {
      if (!proving && `${theme} ${width}` !== one) continue;
      await page.setViewportSize({ width, height: 900 });
      const rules = await violationsNow(page);
      found.push(...rules.map((rule) => `${theme} ${width} ${rule}`));
      const over = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
      if (Number(over) > 0) found.push(`${theme} ${width} wider than the window by ${over}`);
    }
  }
  return found;
}

async function violationsNow(page: Page): Promise<string[]> {
  await page.evaluate(source);
  return (await page.evaluate(`axe
    .run(document, { runOnly: ${JSON.stringify(tags)} })
    .then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html.slice(0, 120)).join(' ')))`)) as string[];
}
