// The choice of a UTC month: this one and the twelve before it.
import { Select } from '../../parts/Field.tsx';
import { formatMonth } from '../../words/format.ts';
import { t } from '../../words/sites.ts';

const months_back = 12;

/** "2026-11": the UTC month so many months after this one. */
export function monthOf(months = 0, now = new Date()): string {
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + months)).toISOString().slice(0, 7);
}

/** The empty value is this month, so that a link to it goes on with time. */
export function MonthSelect({ value, onChange }: { value: string; onChange?: (month: string) => void }) {
  const back = Array.from({ length: months_back }, (_, n) => monthOf(-1 - n));
  const known = value === '' || back.includes(value) ? back : [value, ...back];
  const options = [
    { value: '', label: t('this_month', { month: formatMonth(monthOf()) }) },
    ...known.map((month) => ({ value: month, label: formatMonth(month) })),
  ];
  return (
    <Select
      label={t('month')}
      name="month"
      value={value === monthOf() ? '' : value}
      options={options}
      {...(onChange && { onChange })}
    />
  );
}
