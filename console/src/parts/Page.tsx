// The frame of a page: heading, as-of time, actions; it names the tab and receives the focus after a navigation.
import { type ReactNode, useEffect, useLayoutEffect, useRef } from 'react';
import { t } from '../words/words.ts';
import { isTyping } from './typing.ts';
import { AsOf } from './When.tsx';

export interface PageProps {
  /** The `<h1>` and the name of the tab. */
  title: string;
  /** What stands beside the heading, such as a badge. */
  beside?: ReactNode;
  /** When what the page shows was known. */
  as_of_ms?: number | undefined;
  /** Buttons and links at the end of the heading's line. */
  actions?: ReactNode;
  children?: ReactNode;
}

let opened = false;

export function Page({ title, beside, as_of_ms, actions, children }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · ${t('product')}`;
  }, [title]);
  useLayoutEffect(() => {
    // Not at the first page: a person who has just come begins at the top. Not while they write: a page that was long in coming
    // would take the next letters for keys.
    if (opened && !isTyping(document.activeElement)) heading.current?.focus();
    opened = true;
  }, []);
  return (
    <article className="page">
      <header className="page-head">
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {beside}
        {as_of_ms !== undefined && <AsOf at={as_of_ms} />}
        {actions && <div className="actions">{actions}</div>}
      </header>
      {children}
    </article>
  );
}

/** A part of a page with a heading of its own. */
export function Section({
  title,
  actions,
  children,
}: {
  title: string;
  actions?: ReactNode;
  children: ReactNode;
}) {
  return (
    <section className="section">
      <header className="section-head">
        <h2>{title}</h2>
        {actions && <div className="actions">{actions}</div>}
      </header>
      {children}
    </section>
  );
}
