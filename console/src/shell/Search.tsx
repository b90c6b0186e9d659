// Search by any id: where one id may be of several things, the person says which.
import { type Ref, useId, useState } from 'react';
import { useLocation } from 'wouter';
import { has, useViewer, type Viewer } from '../session/viewer.ts';
import { type Key, t } from '../words/words.ts';

interface Target {
  label: Extract<Key, `search_${string}`>;
  path: string;
}
const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** The pages that may show the id and that the person may open. */
export function targetsOf(viewer: Viewer, text: string): Target[] {
  const id = text.trim();
  if (id === '') return [];
  const path = encodeURIComponent(id);
  const admin = has(viewer, 'platform-admin');
  const own = viewer.sites.find((site) => site.id === id || site.public_id === id);
  if (own) return [{ label: 'search_site', path: `/sites/${encodeURIComponent(own.public_id)}` }];
  if (!uuid.test(id)) return admin ? [{ label: 'search_site', path: `/sites/${path}` }] : [];
  const money = admin || has(viewer, 'finance');
  const found: (Target | false)[] = [
    (admin || has(viewer, 'member')) && { label: 'search_event', path: `/events?id=${path}` },
    money && { label: 'search_withdrawal', path: `/finance/withdrawals?id=${path}` },
    money && { label: 'search_player', path: `/wallets/${path}` },
    money && { label: 'search_finding', path: `/findings/${path}` },
    admin && { label: 'search_site', path: `/sites/${path}` },
  ];
  return found.filter((target) => target !== false);
}

export function Search({ input }: { input: Ref<HTMLInputElement> }) {
  const viewer = useViewer();
  const [, navigate] = useLocation();
  const [choices, setChoices] = useState<Target[]>();
  const id = useId();
  const go = (path: string) => {
    setChoices(undefined);
    if (document.activeElement instanceof HTMLElement) document.activeElement.blur(); // the page that comes takes the focus
    navigate(path);
  };
  const search = (text: string) => {
    const targets = targetsOf(viewer, text);
    const [only] = targets;
    if (only && targets.length === 1) go(only.path);
    else setChoices(targets);
  };
  return (
    <search className="search">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          search(String(new FormData(event.currentTarget).get('id') ?? ''));
        }}
      >
        <label className="hidden" htmlFor={id}>
          {t('search')}
        </label>
        <input
          id={id}
          ref={input}
          name="id"
          type="search"
          placeholder={t('search_hint')}
          autoComplete="off"
          spellCheck={false}
          aria-keyshortcuts="/"
          onInput={() => setChoices(undefined)}
        />
        <button type="submit">{t('search_go')}</button>
      </form>
      {choices && (
        <div className="search-choices" role="status">
          <p>{choices.length > 0 ? t('search_which') : t('search_none')}</p>
          {choices.map(({ label, path }) => (
            <button key={label} type="button" onClick={() => go(path)}>
              {t(label)}
            </button>
          ))}
        </div>
      )}
    </search>
  );
}
