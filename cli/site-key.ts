// The commands on a site's API keys: make one, rotate, list, revoke; a key itself is shown once, when it is made.
import type { Call, Command } from './command.ts';
import { note, print, printJson, shown, table } from './output.ts';
import { sitePath } from './site.ts';

type NewKey = { api_key: string; key_id: string; prefix: string; live_keys?: number; revoked?: string[] };
type Key = { key_id: string; prefix: string; live: boolean; created_at?: string };

const keysPath = (site: string): string => `${sitePath(site)}/keys`;

function showNew(key: NewKey, json: boolean): number {
  if (json) {
    printJson(key);
    return 0;
  }
  const rows = [
    ['API key', key.api_key],
    ['key id', key.key_id],
  ];
  if (key.live_keys !== undefined) rows.push(['live keys', shown(key.live_keys)]);
  if (key.revoked?.length) rows.push(['revoked', shown(key.revoked)]);
  print(table(rows));
  note('The API key is shown only this once.');
  return 0;
}

function keyCommand(
  verb: string,
  usage: string,
  summary: string,
  positionals: number,
  run: Command['run'],
): Command {
  return { words: `site key ${verb}`, usage, summary, positionals, options: {}, run };
}

async function list({ args, json, api }: Call): Promise<number> {
  const answer = await api().get<{ keys?: Key[] }>(keysPath(args[0] ?? ''));
  if (json) printJson(answer);
  else {
    const rows = (answer.keys ?? []).map((key) => [
      key.key_id,
      key.prefix,
      key.live ? 'live' : 'revoked',
      shown(key.created_at),
    ]);
    print(table(rows, ['KEY ID', 'PREFIX', 'STATE', 'CREATED']));
  }
  return 0;
}

async function revoke({ args, json, api }: Call): Promise<number> {
  const [site = '', key = ''] = args;
  const answer = await api().send('DELETE', `${keysPath(site)}/${encodeURIComponent(key)}`);
  if (json) printJson(answer);
  else print(`Key ${key} is revoked.`);
  return 0;
}

export const siteKeyCommands: Command[] = [
  keyCommand('create', '<site>', 'create one more API key of a site', 1, async ({ args, json, api }) =>
    showNew(await api().send<NewKey>('POST', keysPath(args[0] ?? ''), {}), json),
  ),
  keyCommand(
    'rotate',
    '<site>',
    'create a new API key and revoke the older of two live ones',
    1,
    async ({ args, json, api }) =>
      showNew(await api().send<NewKey>('POST', `${keysPath(args[0] ?? '')}/rotate`, {}), json),
  ),
  keyCommand('list', '<site>', "list a site's API keys, without the keys themselves", 1, list),
  keyCommand('revoke', '<site> <key_id>', 'revoke an API key', 2, revoke),
];
