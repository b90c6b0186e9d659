// Every page of the console: its path, its chunk, who may open it, and its place in the navigation.
import type { ComponentType } from 'react';
import type { Key } from './words/words.ts';

export type Capability = 'site:write' | 'members:manage' | 'queue:operate' | 'billing:view';
/**
 * What opens a page; one of a route's list is enough. A capability counts when the person has it at the site of the path, or
 * at any site where the path names none. `member` belongs to a site; `player` is neither staff nor a member.
 */
export type Grant = 'platform-admin' | 'finance' | 'service' | 'member' | 'player' | Capability;

/** Words that need no values. */
export type Title = Extract<Key, `nav_${string}`>;

export interface Route {
  /** Below /console, as wouter understands it. */
  path: string;
  page: () => Promise<{ default: ComponentType }>;
  who: readonly Grant[];
  title: Title;
  /** Whether the navigation shows it, in the order of this table. */
  nav?: true;
  /** Pressed after `g`. */
  key?: string;
}

const staff: readonly Grant[] = ['platform-admin', 'finance', 'member'];
const sites: readonly Grant[] = ['platform-admin', 'member'];
const billing: readonly Grant[] = ['platform-admin', 'billing:view'];
const finance: readonly Grant[] = ['platform-admin', 'finance'];
const admin: readonly Grant[] = ['platform-admin'];
const everybody: readonly Grant[] = [...staff, 'service', 'player'];

export const routes: readonly Route[] = [
  ...([
    {
      path: '/',
      page: () => import('./pages/Overview.tsx'),
      who: staff,
      title: 'nav_overview',
      nav: true,
      key: 'o',
    },
    {
      path: '/sites',
      page: () => import('./pages/Sites.tsx'),
      who: sites,
      title: 'nav_sites',
      nav: true,
      key: 's',
    },
    { path: '/sites/:ref', page: () => import('./pages/Site.tsx'), who: sites, title: 'nav_site' },
    {
      path: '/events',
      page: () => import('./pages/Events.tsx'),
      who: sites,
      title: 'nav_events',
      nav: true,
      key: 'e',
    },
    {
      path: '/plans',
      page: () => import('./pages/Plans.tsx'),
      who: billing,
      title: 'nav_plans',
      nav: true,
      key: 'p',
    },
    {
      path: '/invoices',
      page: () => import('./pages/Invoices.tsx'),
      who: billing,
      title: 'nav_invoices',
      nav: true,
      key: 'i',
    },
    {
      path: '/sites/:ref/invoices',
      page: () => import('./pages/Invoices.tsx'),
      who: billing,
      title: 'nav_invoices',
    },
    {
      path: '/sites/:ref/invoices/:month',
      page: () => import('./pages/Invoice.tsx'),
      who: billing,
      title: 'nav_invoice',
    },
    {
      path: '/dispute',
      page: () => import('./pages/Dispute.tsx'),
      who: billing,
      title: 'nav_dispute',
      nav: true,
    },
    {
      path: '/wallets',
      page: () => import('./pages/Wallets.tsx'),
      who: finance,
      title: 'nav_wallets',
      nav: true,
      key: 'l',
    },
    { path: '/wallets/:player', page: () => import('./pages/Wallet.tsx'), who: finance, title: 'nav_wallet' },
    {
      path: '/wallets/accounts/:account',
      page: () => import('./pages/Account.tsx'),
      who: finance,
      title: 'nav_wallets',
    },
    {
      path: '/finance/withdrawals',
      page: () => import('./pages/Withdrawals.tsx'),
      who: finance,
      title: 'nav_withdrawals',
      nav: true,
      key: 'w',
    },
    {
      path: '/findings',
      page: () => import('./pages/Findings.tsx'),
      who: finance,
      title: 'nav_findings',
      nav: true,
      key: 'f',
    },
    { path: '/findings/:id', page: () => import('./pages/Finding.tsx'), who: finance, title: 'nav_finding' },
    {
      path: '/jobs',
      page: () => import('./pages/Jobs.tsx'),
      who: ['platform-admin', 'service', 'queue:operate'],
      title: 'nav_jobs',
      nav: true,
      key: 'j',
    },
    {
      path: '/jobs/:id',
      page: () => import('./pages/Job.tsx'),
      who: ['platform-admin', 'service'],
      title: 'nav_job',
    },
    { path: '/flags', page: () => import('./pages/Flags.tsx'), who: admin, title: 'nav_flags', nav: true },
    { path: '/audit', page: () => import('./pages/Audit.tsx'), who: admin, title: 'nav_audit', nav: true },
    {
      path: '/player/wallet',
      page: () => import('./pages/PlayerWallet.tsx'),
      who: ['player'],
      title: 'nav_player_wallet',
      nav: true,
    },
    {
      path: '/api',
      page: () => import('./pages/Api.tsx'),
      who: everybody,
      title: 'nav_api',
      nav: true,
      key: 'a',
    },
  ] satisfies Route[]),
];
