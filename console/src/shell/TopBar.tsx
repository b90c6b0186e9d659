// The bar above every page: environment, live state, search, time zone, theme, language, and who is signed in.
import type { Ref } from 'react';
import { useConnection } from '../api/connection.ts';
import { config } from '../session/config.ts';
import { end, useSessionState } from '../session/session.ts';
import { formatTime } from '../words/format.ts';
import { t } from '../words/words.ts';
import { Search } from './Search.tsx';
import { languages, type Settings, settings, useSettings } from './settings.ts';

const language_names = { en: 'English', tr: 'Türkçe' };

export function TopBar({ search }: { search: Ref<HTMLInputElement> }) {
  const { session } = useSessionState();
  const { stage } = config();
  return (
    <header className="top">
      <strong className="product">{t('product')}</strong>
      <span className={stage === 'prod' ? 'badge stage tone-bad' : 'badge stage tone-good'}>
        {t('environment', { stage })}
      </span>
      {session && <LiveState />}
      {session && <Search input={search} />}
      <div className="choices">
        <Choice
          name="zone"
          label={t('zone')}
          options={[
            ['utc', t('zone_utc')],
            ['local', t('zone_local')],
          ]}
        />
        <Choice
          name="theme"
          label={t('theme')}
          options={[
            ['system', t('theme_system')],
            ['light', t('theme_light')],
            ['dark', t('theme_dark')],
          ]}
        />
        <Choice
          name="language"
          label={t('language')}
          options={languages
            .filter((one) => config().languages.includes(one))
            .map((one) => [one, language_names[one]] as const)}
        />
        {session && (
          <>
            <span className="muted who">{t('signed_in_as', { name: session.name })}</span>
            <button type="button" onClick={() => void signOut()}>
              {t('sign_out')}
            </button>
          </>
        )}
      </div>
    </header>
  );
}

async function signOut(): Promise<void> {
  const { endSessionUrl } = await import('../session/sign-in.ts');
  const url = endSessionUrl();
  end();
  if (url) location.assign(url);
}

function LiveState() {
  useSettings();
  const { lost_since_ms, answered_at_ms } = useConnection();
  if (lost_since_ms !== undefined || answered_at_ms === undefined) return null; // the banner says it
  return (
    <span className="live">
      <span className="dot" aria-hidden="true" /> {t('live_as_of', { time: formatTime(answered_at_ms) })}
    </span>
  );
}

function Choice<Name extends keyof Settings>(props: {
  name: Name;
  label: string;
  options: readonly (readonly [Settings[Name], string])[];
}) {
  const { name, label, options } = props;
  const chosen = useSettings()[name];
  return (
    <select
      aria-label={label}
      title={label}
      value={chosen}
      onChange={(event) => settings.set({ [name]: event.currentTarget.value } as Partial<Settings>)}
    >
      {options.map(([value, text]) => (
        <option key={value} value={value}>
          {text}
        </option>
      ))}
    </select>
  );
}
