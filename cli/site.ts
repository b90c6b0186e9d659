// The commands on sites: create one, list them all, and find one by either of its ids.
import type { Api } from './api.ts';
import { type Command, decimal, Failure, integer, required, UsageError, type Values } from './command.ts';
import { print, printJson, shown, table } from './output.ts';

export type Site = {
  id: string;
  public_id: string;
  name: string;
  origins: string[];
  status: string;
  rate_limit?: number | null;
};
export type Plan = {
  monthly_limit?: string;
  soft_limit_enabled?: boolean;
  hard_cap_multiplier?: string;
  plan_tier?: string;
  billing_policy?: string;
};
type SitePage = { sites: Site[]; next_cursor: string | null };

export const sitePath = (site: string): string => `/api/admin/sites/${encodeURIComponent(site)}`;

export async function* eachSite(api: Api): AsyncGenerator<Site> {
  let cursor: string | null = null;
  do {
    const query = new URLSearchParams({ limit: '100' });
    if (cursor !== null) query.set('cursor', cursor);
    const page: SitePage = await api.get<SitePage>(`/api/admin/sites?${query}`);
    yield* page.sites;
    // A cursor that stands still would list the same page for ever.
    if (page.next_cursor === cursor) return;
    cursor = page.next_cursor;
  } while (cursor);
}

export async function findSite(api: Api, reference: string): Promise<Site> {
  for await (const site of eachSite(api)) {
    if (site.id === reference || site.public_id === reference) return site;
  }
  throw new Failure(`The stack has no site "${reference}": kernel site list names them all.`);
}

export function planRows(plan: Plan): string[][] {
  return [
    ['limit', shown(plan.monthly_limit)],
    ['soft limit', plan.soft_limit_enabled ? 'yes' : 'no'],
    ['multiplier', shown(plan.hard_cap_multiplier)],
    ['tier', shown(plan.plan_tier)],
  ];
}

function requestedPlan(values: Values): Plan | undefined {
  const limit = decimal(values, 'limit', false);
  const multiplier = decimal(values, 'multiplier', true);
  if (limit === undefined) {
    if (values.soft || multiplier !== undefined) {
      throw new UsageError('Options --soft and --multiplier need --limit.');
    }
    return undefined;
  }
  const plan: Plan = { monthly_limit: limit, soft_limit_enabled: values.soft === true };
  if (multiplier !== undefined) plan.hard_cap_multiplier = multiplier;
  return plan;
}

const siteCreate: Command = {
  words: 'site create',
  usage:
    '--name N --origin O [--origin O2 …] [--limit L] [--soft] [--multiplier M] [--rate-limit N] [--no-key]',
  summary: 'create a site, its plan and its first API key',
  positionals: 0,
  options: {
    name: { type: 'string', value: 'N', help: 'the name of the site' },
    origin: { type: 'string', multiple: true, value: 'O', help: 'an origin its pages come from; repeatable' },
    limit: { type: 'string', value: 'L', help: 'events a month' },
    soft: { type: 'boolean', help: 'events beyond the limit are admitted as overage, up to the hard cap' },
    multiplier: { type: 'string', value: 'M', help: 'hard cap of a soft limit, as a multiple of the limit' },
    'rate-limit': { type: 'string', value: 'N', help: 'requests per 60 seconds and client address' },
    'no-key': { type: 'boolean', help: 'do not create an API key' },
  },
  async run({ values, json, api }) {
    const name = required(values, 'name');
    const origins = (values.origin ?? []) as string[];
    if (origins.length === 0) throw new UsageError('Option --origin is missing.');
    const plan = requestedPlan(values);
    const rate_limit = integer(values, 'rate-limit', 1, 1_000_000);
    const body = {
      name,
      origins,
      ...(rate_limit === undefined ? {} : { rate_limit }),
      ...(plan ? { plan } : {}),
      ...(values['no-key'] ? {} : { api_key: true }),
    };
    const site = await api().send<Site & { plan?: Plan; api_key?: string }>('POST', '/api/admin/sites', body);
    if (json) {
      printJson(site);
      return 0;
    }
    const rows = [
      ['site', site.public_id],
      ['id', site.id],
      ['name', site.name],
      ['origins', shown(site.origins)],
      ['status', site.status],
      ['rate limit', shown(site.rate_limit)],
      ...planRows(site.plan ?? {}),
    ];
    if (site.api_key) rows.push(['API key', `${site.api_key} (shown only this once)`]);
    print(table(rows));
    return 0;
  },
};

const siteList: Command = {
  words: 'site list',
  usage: '',
  summary: 'list every site',
  positionals: 0,
  options: {},
  async run({ json, api }) {
    const sites: Site[] = [];
    for await (const site of eachSite(api())) sites.push(site);
    if (json) printJson({ sites });
    else {
      const rows = sites.map((s) => [s.public_id, s.id, s.name, s.status, shown(s.origins)]);
      print(table(rows, ['SITE', 'ID', 'NAME', 'STATUS', 'ORIGINS']));
    }
    return 0;
  },
};

export const siteCommands = [siteCreate, siteList];
