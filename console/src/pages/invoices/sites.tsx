// The sites at which a person may do something, and the choice of one of them.
import { useRead } from '../../api/query.ts';
import { Field, Select } from '../../parts/Field.tsx';
import type { Capability } from '../../routes.ts';
import { has, useViewer } from '../../session/viewer.ts';
import { t } from '../../words/invoices.ts';

export interface NamedSite {
  id: string;
  public_id: string;
  name: string;
  created_at: string;
}
export interface Sites {
  /** Undefined while they load. */
  sites: readonly NamedSite[] | undefined;
  /** Whether there are more than a choice can hold. */
  more: boolean;
  error: Error | null;
  retry: () => void;
}

export function useSites(capability: Capability): Sites {
  const viewer = useViewer();
  const all = has(viewer, 'platform-admin');
  const { answer, error, retry } = useRead(
    'GET /api/admin/sites',
    { query: { limit: 200 } },
    { enabled: all },
  );
  if (all) return { sites: answer?.sites, more: Boolean(answer?.next_cursor), error, retry };
  const own = viewer.sites.filter(({ capabilities }) => capabilities.includes(capability));
  return { sites: own, more: false, error: null, retry: () => undefined };
}

/** The site of a path or query, by its id or public id. */
export function siteOf({ sites }: Sites, ref: string | undefined): NamedSite | undefined {
  return sites?.find(({ id, public_id }) => id === ref || public_id === ref);
}

/** A list to choose from; where there are more sites than it holds, a field that takes any id. */
export function SiteChoice(props: { of: Sites; value: string; choose: (ref: string) => void }) {
  const { of, value, choose } = props;
  const options = (of.sites ?? []).map(({ public_id, name }) => ({
    value: public_id,
    label: `${name} · ${public_id}`,
  }));
  if (!of.more)
    return <Select label={t('site')} name="site" value={value} options={options} onChange={choose} />;
  return (
    <Field label={t('site_id')}>
      {(field) => (
        <>
          <input
            name="site"
            defaultValue={value}
            key={value}
            list="known-sites"
            onChange={(event) => {
              const given = event.currentTarget.value.trim();
              if (given && given !== value) choose(given);
            }}
            {...field}
          />
          <datalist id="known-sites">
            {options.map((option) => (
              <option key={option.value} value={option.value}>
                {option.label}
              </option>
            ))}
          </datalist>
        </>
      )}
    </Field>
  );
}
