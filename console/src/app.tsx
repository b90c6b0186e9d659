// The console: settings of the stage, the session, and the page of the address inside the shell.
import { QueryClientProvider } from '@tanstack/react-query';
import {
  Component,
  type ComponentType,
  lazy,
  type ReactNode,
  Suspense,
  useCallback,
  useMemo,
  useRef,
} from 'react';
import {
  Link,
  matchRoute,
  Redirect,
  Router,
  Switch,
  useLocation,
  useRouter,
  Route as WouterRoute,
} from 'wouter';
import { queries, useRead } from './api/query.ts';
import { Page } from './parts/Page.tsx';
import { Loading, Show } from './parts/states.tsx';
import { type Route, routes } from './routes.ts';
import { SignedIn, SignIn } from './session/SignIn.tsx';
import { type Session, useSessionState } from './session/session.ts';
import { has, mayOpen, useViewer, ViewerContext } from './session/viewer.ts';
import { Banner } from './shell/Banner.tsx';
import { KeysHelp, useKeys } from './shell/keys.tsx';
import { Nav } from './shell/Nav.tsx';
import { useSettings } from './shell/settings.ts';
import { TopBar } from './shell/TopBar.tsx';
import { t } from './words/words.ts';

const pages = new Map<string, ComponentType>(routes.map(({ path, page }) => [path, lazy(page)]));

export function App() {
  const { language } = useSettings();
  return (
    <QueryClientProvider client={queries}>
      <Router base="/console">
        <Shell key={language} />
      </Router>
    </QueryClientProvider>
  );
}

function Shell() {
  const { session, ended } = useSessionState();
  const search = useRef<HTMLInputElement>(null);
  const [path] = useLocation();
  const inside = session && path !== '/signed-in';
  return (
    <>
      <a className="skip" href="#content">
        {t('skip')}
      </a>
      {inside ? (
        <Access session={session}>
          <TopBar search={search} />
          <Keys search={search} />
          <Banner />
          <div className="frame">
            <Nav />
            <Main>
              <Pages />
            </Main>
          </div>
        </Access>
      ) : (
        <>
          <TopBar search={search} />
          <Banner />
          <Main>{path === '/signed-in' && !ended ? <SignedIn /> : <SignIn ended={ended} />}</Main>
        </>
      )}
    </>
  );
}

function Main({ children }: { children: ReactNode }) {
  return (
    <main id="content" tabIndex={-1}>
      {children}
    </main>
  );
}

/** What the person may see is known before the first page is shown. */
function Access({ session, children }: { session: Session; children: ReactNode }) {
  const read = useRead('GET /api/sites', { query: { limit: 200 } });
  const sites = read.answer?.sites;
  const viewer = useMemo(() => sites && { session, sites }, [session, sites]);
  if (!viewer)
    return (
      <Main>
        <Banner />
        <Show read={read}>{() => null}</Show>
      </Main>
    );
  return <ViewerContext value={viewer}>{children}</ViewerContext>;
}

function Keys({ search }: { search: { readonly current: HTMLInputElement | null } }) {
  const { help, close } = useKeys(useCallback(() => search.current?.focus(), [search]));
  return help ? <KeysHelp close={close} /> : null;
}

function Pages() {
  return (
    <Switch>
      {routes.map((route) => (
        <WouterRoute key={route.path} path={route.path}>
          <Guarded route={route} />
        </WouterRoute>
      ))}
      <WouterRoute>
        <NotFound />
      </WouterRoute>
    </Switch>
  );
}

function Guarded({ route }: { route: Route }) {
  const viewer = useViewer();
  const { parser } = useRouter();
  const [path] = useLocation();
  const [, params] = matchRoute(parser, route.path, path);
  if (route.path === '/' && has(viewer, 'player')) return <Redirect to="/player/wallet" replace />;
  if (!mayOpen(viewer, route, (params as Record<string, string> | null)?.ref)) return <Forbidden />;
  const Shown = pages.get(route.path) ?? NotFound;
  return (
    <Guard key={path}>
      <Suspense fallback={<Loading />}>
        <Shown />
      </Suspense>
    </Guard>
  );
}

/** A page that fails takes nothing else with it. */
class Guard extends Component<{ children: ReactNode }, { error?: Error }> {
  override state: { error?: Error } = {};

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    return (
      <Page title={t('page_failed')}>
        <p role="alert">{error.message}</p>
        <button type="button" onClick={() => location.reload()}>
          {t('reload')}
        </button>
      </Page>
    );
  }
}

function NotFound() {
  return (
    <Page title={t('not_found')}>
      <p>{t('not_found_text')}</p>
      <Link href="/">{t('to_start')}</Link>
    </Page>
  );
}

function Forbidden() {
  const { session } = useViewer();
  return (
    <Page title={t('forbidden')}>
      <p>{t('forbidden_text', { name: session.name })}</p>
      <Link href="/">{t('to_start')}</Link>
    </Page>
  );
}
