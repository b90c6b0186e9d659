// Whose money is shown: a person of one tenant never chooses, of several does, and a platform admin names any.
import { Field, Select } from '../../parts/Field.tsx';
import { useViewer, type Viewer } from '../../session/viewer.ts';
import { t } from '../../words/money.ts';

const default_tenant = 'default';

/** Undefined: any may be named. */
function tenantsOf({ session: { groups } }: Viewer): readonly string[] | undefined {
  if (groups.includes('platform-admin')) return undefined;
  return groups
    .filter((group) => group === 'finance' || group.startsWith('finance:'))
    .map((group) => group.slice('finance:'.length) || default_tenant);
}

/** A field of the filters, for those who have a choice; `nothing` says what is shown when a platform admin names none. */
export function TenantField({ value, nothing = default_tenant }: { value: string; nothing?: string }) {
  const tenants = tenantsOf(useViewer());
  if (tenants === undefined)
    return (
      <Field label={t('tenant')}>
        {(field) => (
          <input name="tenant_id" defaultValue={value} placeholder={nothing} size={12} {...field} />
        )}
      </Field>
    );
  if (tenants.length < 2) return null;
  return (
    <Select
      label={t('tenant')}
      name="tenant_id"
      value={value || (tenants[0] ?? '')}
      options={tenants.map((tenant) => ({ value: tenant, label: tenant }))}
    />
  );
}

/** Paths of the pages of money; they name the tenant where the page would take another one by itself. */
export function usePaths() {
  const tenants = tenantsOf(useViewer());
  const own = tenants?.[0] ?? default_tenant;
  const path = (base: string, tenant: string | null | undefined, more: Record<string, string> = {}) => {
    const query = new URLSearchParams({ ...more, ...(tenant && tenant !== own && { tenant_id: tenant }) });
    return query.size > 0 ? `${base}?${query}` : base;
  };
  return {
    wallet: (player: string, tenant?: string | null) => path(`/wallets/${player}`, tenant),
    account: (id: string, tenant?: string | null) => path(`/wallets/accounts/${id}`, tenant),
    withdrawal: (id: string, tenant?: string | null) => path('/finance/withdrawals', tenant, { id }),
    findings: (tx_id: string) => path('/findings', null, { tx_id, status: '' }),
  };
}
