// Links to where a figure is explained; what the person may not open is shown as text.
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import { routes } from '../../routes.ts';
import { mayOpen, useViewer, type Viewer } from '../../session/viewer.ts';

/** The address, or undefined when its page is not for this person. */
export function reach(viewer: Viewer, href: string): string | undefined {
  const [path = '/'] = href.split(/[?#]/);
  for (const route of routes) {
    const match = new RegExp(`^${route.path.replace(/:\w+/g, '([^/]+)')}$`).exec(path);
    if (!match) continue;
    const ref = route.path.startsWith('/sites/:ref') ? decodeURIComponent(match[1] ?? '') : undefined;
    return mayOpen(viewer, route, ref) ? href : undefined;
  }
  return undefined;
}

export function useReach(): (href: string) => { href?: string } {
  const viewer = useViewer();
  return (href) => {
    const reached = reach(viewer, href);
    return reached === undefined ? {} : { href: reached };
  };
}

export function To({ href, children }: { href: string; children: ReactNode }) {
  const reached = reach(useViewer(), href);
  return reached === undefined ? children : <Link href={reached}>{children}</Link>;
}
