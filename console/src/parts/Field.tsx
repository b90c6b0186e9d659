// Form fields: a label, a hint and an error that a screen reader reads with the input.
import { type ReactNode, useId } from 'react';
import { t } from '../words/words.ts';

interface FieldProps {
  label: string;
  hint?: string;
  error?: string;
  /** `(field) => <input name="amount" {...field} />` */
  children: (field: { id: string; 'aria-describedby'?: string; 'aria-invalid'?: true }) => ReactNode;
}

export function Field({ label, hint, error, children }: FieldProps) {
  const id = useId();
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(' ');
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children({
        id,
        ...(described && { 'aria-describedby': described }),
        ...(error && { 'aria-invalid': true as const }),
      })}
      {hint && (
        <span className="hint" id={`${id}-hint`}>
          {hint}
        </span>
      )}
      {error && (
        <span className="field-error" id={`${id}-error`} role="alert">
          {error}
        </span>
      )}
    </div>
  );
}

interface SelectProps {
  label: string;
  name: string;
  value?: string;
  options: readonly { value: string; label: string }[];
  onChange?: (value: string) => void;
}

/** A choice; with `onChange` it takes effect at once. */
export function Select({ label, name, value, options, onChange }: SelectProps) {
  return (
    <Field label={label}>
      {(field) => (
        <select
          name={name}
          defaultValue={value}
          key={value}
          onChange={(event) => onChange?.(event.currentTarget.value)}
          {...field}
        >
          {options.map((option) => (
            <option key={option.value} value={option.value}>
              {option.label}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

interface FiltersProps {
  /** The names of its inputs are the keys of the view. */
  apply: (values: Record<string, string>) => void;
  /** Shows the button that clears, where a filter is set. */
  clear?: (() => void) | undefined;
  children: ReactNode;
}

/** The filters of a table: fields in a row with Apply; give the inputs `defaultValue` from the view. */
export function Filters({ apply, clear, children }: FiltersProps) {
  return (
    <form
      className="filters"
      onSubmit={(event) => {
        event.preventDefault();
        const given = [...new FormData(event.currentTarget)].map(([name, value]) => [
          name,
          String(value).trim(),
        ]);
        apply(Object.fromEntries(given));
      }}
    >
      {children}
      <div className="actions">
        <button type="submit" className="primary">
          {t('apply')}
        </button>
        {clear && (
          <button type="button" onClick={clear}>
            {t('clear_filter')}
          </button>
        )}
      </div>
    </form>
  );
}
