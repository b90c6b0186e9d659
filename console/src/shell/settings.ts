// What a person chose for this browser: language, time zone and theme; kept in localStorage.
import { useSyncExternalStore } from 'react';

export const languages = ['en', 'tr'] as const;
export type Language = (typeof languages)[number];
export interface Settings {
  language: Language;
  zone: 'utc' | 'local';
  theme: 'system' | 'light' | 'dark';
}

const tags: Record<Language, string> = { en: 'en-GB', tr: 'tr-TR' };
const listeners = new Set<() => void>();
let now = read();

export const settings = {
  get: () => now,
  set(change: Partial<Settings>): void {
    now = { ...now, ...change };
    for (const [name, value] of Object.entries(change)) keep(name, value);
    show();
    for (const listener of listeners) listener();
  },
  subscribe(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};
show();

export function useSettings(): Settings {
  return useSyncExternalStore(settings.subscribe, settings.get);
}

/** For Intl. */
export function languageTag(): string {
  return tags[now.language];
}

function read(): Settings {
  const asked = new URLSearchParams(location.search).get('lang');
  if (asked) keep('language', asked);
  const language = [asked, kept('language'), ...navigator.languages.map((tag) => tag.slice(0, 2))];
  return {
    language:
      languages.find((one) => one === language.find((tag) => languages.some((known) => known === tag))) ??
      'en',
    zone: kept('zone') === 'local' ? 'local' : 'utc',
    theme: (['light', 'dark'] as const).find((one) => one === kept('theme')) ?? 'system',
  };
}

/** As public/theme.js does it before the first paint. */
function show(): void {
  const root = document.documentElement;
  root.lang = now.language;
  if (now.theme === 'system') delete root.dataset.theme;
  else root.dataset.theme = now.theme;
}

function kept(name: string): string | null {
  try {
    return localStorage.getItem(`rk:${name}`);
  } catch {
    return null; // storage is switched off
  }
}

function keep(name: string, value: string): void {
  try {
    localStorage.setItem(`rk:${name}`, value);
  } catch {} // as above: it then lasts as long as the page
}
