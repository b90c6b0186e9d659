// The navigation: the pages that the person may open; on a small screen it folds.
import { Link, useLocation } from 'wouter';
import { type Route, routes } from '../routes.ts';
import { mayOpen, useViewer } from '../session/viewer.ts';
import { t } from '../words/words.ts';

export function useOwnPages(): readonly Route[] {
  const viewer = useViewer();
  return routes.filter((route) => route.nav && mayOpen(viewer, route));
}

export function Nav() {
  const pages = useOwnPages();
  return (
    <>
      <nav className="nav nav-wide" aria-label={t('navigation')}>
        <Links pages={pages} />
      </nav>
      <details className="nav nav-small">
        <summary>{t('navigation')}</summary>
        <nav aria-label={t('navigation')}>
          <Links pages={pages} />
        </nav>
      </details>
    </>
  );
}

function Links({ pages }: { pages: readonly Route[] }) {
  const [shown] = useLocation();
  // The invoices of a site are under its address, and on the page of invoices.
  const path = /^\/sites\/[^/]+\/invoices/.test(shown) ? '/invoices' : shown;
  const isHere = (route: Route) =>
    route.path === '/' ? path === '/' : path === route.path || path.startsWith(`${route.path}/`);
  const fold = (link: HTMLElement) => link.closest('details')?.removeAttribute('open');
  return (
    <ul>
      {pages.map((route) => (
        <li key={route.path}>
          <Link
            href={route.path}
            onClick={(event) => fold(event.currentTarget as HTMLElement)}
            {...(isHere(route) && { 'aria-current': 'page' as const })}
          >
            {t(route.title)}
          </Link>
        </li>
      ))}
    </ul>
  );
}
