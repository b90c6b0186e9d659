// Who looks: the session together with the sites it belongs to, and what both open.
import { createContext, useContext } from 'react';
import type { Answer } from '../api/client.ts';
import type { Grant, Route } from '../routes.ts';
import type { Session } from './session.ts';

export type SiteAccess = Answer<'GET /api/sites'>['sites'][number];
export interface Viewer {
  session: Session;
  /** The sites of the person, with role and capabilities there; a platform admin may do more than they say. */
  sites: readonly SiteAccess[];
}

export const ViewerContext = createContext<Viewer | undefined>(undefined);

/** Inside a page there always is one. */
export function useViewer(): Viewer {
  const viewer = useContext(ViewerContext);
  if (!viewer) throw new Error('There is no session here.');
  return viewer;
}

/** Whether the person has the grant, at the site where one is named by id or public id. Show nothing that this denies. */
export function has({ session, sites }: Viewer, grant: Grant, ref?: string): boolean {
  const { groups } = session;
  const finance = groups.some((group) => group === 'finance' || group.startsWith('finance:'));
  const here =
    ref === undefined ? sites : sites.filter(({ id, public_id }) => id === ref || public_id === ref);
  switch (grant) {
    case 'platform-admin':
    case 'service':
      return groups.includes(grant);
    case 'finance':
      return finance;
    case 'member':
      return here.length > 0;
    case 'player':
      return (
        sites.length === 0 && !finance && !groups.includes('platform-admin') && !groups.includes('service')
      );
    default:
      return here.some(({ capabilities }) => capabilities.includes(grant));
  }
}

export function mayOpen(viewer: Viewer, { who }: Pick<Route, 'who'>, ref?: string): boolean {
  return who.some((grant) => has(viewer, grant, ref));
}
