// The keyboard: / searches, g and a letter open a page, ? says so.
import { useEffect, useRef, useState } from 'react';
import { useLocation } from 'wouter';
import { Dialog } from '../parts/Dialog.tsx';
import { isTyping } from '../parts/typing.ts';
import { t } from '../words/words.ts';
import { useOwnPages } from './Nav.tsx';

const together_ms = 1_500;

/** @returns whether the help is open, and what closes it. */
export function useKeys(search: () => void): { help: boolean; close: () => void } {
  const pages = useOwnPages();
  const [, navigate] = useLocation();
  const [help, setHelp] = useState(false);
  const went_at = useRef(0);
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const { key, target, ctrlKey, metaKey, altKey, timeStamp } = event;
      if (ctrlKey || metaKey || altKey || isTyping(target) || document.querySelector('dialog[open]')) return;
      const after_g = timeStamp - went_at.current < together_ms;
      went_at.current = key === 'g' ? timeStamp : 0;
      const page = after_g ? pages.find((one) => one.key === key) : undefined;
      if (page) navigate(page.path);
      else if (key === '?') setHelp(true);
      else if (key === '/') search();
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, [pages, navigate, search]);
  return { help, close: () => setHelp(false) };
}

export function KeysHelp({ close }: { close: () => void }) {
  const keys: [string[], string][] = [
    [['/'], t('keys_search')],
    ...useOwnPages().flatMap(({ key, title }): [string[], string][] => (key ? [[['g', key], t(title)]] : [])),
    [['j', 'k'], t('keys_rows')],
    [['?'], t('keys_help')],
  ];
  return (
    <Dialog title={t('keys')} onClose={close}>
      <dl className="keys">
        {keys.map(([pressed, what]) => (
          <div key={what}>
            <dt>
              {pressed.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
