// The URL's query is the view: filters, sort and cursor, so that a link or a reload shows the same.
import { useSearchParams } from 'wouter';

export type View = Readonly<Record<string, string>>;

/** Names in a view that filter nothing: what is open, and the order. */
const not_filters = ['id', 'tab', 'sort'];

/**
 * `const [view, setView, { filtered, clear }] = useView({ state: 'requested', sort: '-created_at', id: '' })`. A value that is
 * its default is left out of the URL. A change goes back to the first page, unless it is of `id` or `tab` only or says
 * `keepPage`, as a sort among the rows shown does; `clear` goes back to the defaults.
 */
export function useView<const Defaults extends View>(defaults: Defaults) {
  type Values = { readonly [Name in keyof Defaults]: string };
  const [search, setSearch] = useSearchParams();
  const values = Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => [name, search.get(name) ?? value]),
  ) as Values;
  const set = (change: { [Name in keyof Defaults]?: string | undefined }, keepPage = staysOnPage(change)) =>
    setSearch((old) => {
      const next = new URLSearchParams(old);
      if (!keepPage) next.delete('cursor');
      for (const [name, value] of Object.entries(change) as [string, string | undefined][]) {
        if (value === undefined || value === defaults[name]) next.delete(name);
        else next.set(name, value);
      }
      return next;
    });
  const filters = Object.keys(defaults).filter((name) => !not_filters.includes(name));
  const filtered = filters.some((name) => values[name] !== defaults[name]);
  const clear = () =>
    setSearch(
      (old) => new URLSearchParams([...old].filter(([name]) => !filters.includes(name) && name !== 'cursor')),
    );
  return [values, set, { filtered, clear: filtered ? clear : undefined }] as const;
}

function staysOnPage(change: object): boolean {
  return Object.keys(change).every((name) => name === 'id' || name === 'tab');
}
