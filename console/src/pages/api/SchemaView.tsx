// A schema for people: its type in words, and its fields in a table; what it refers to opens on demand.
import { useState } from 'react';
import { t } from '../../words/reference.ts';
import { type Document, resolve, type Schema } from './document.ts';
import { Said } from './Said.tsx';

interface SchemaProps {
  document: Document;
  schema: Schema;
}

/** An object's fields, each alternative of a choice, or the type alone. */
export function SchemaView({ document, schema }: SchemaProps) {
  const { of } = resolve(document, schema);
  const choices = of.anyOf ?? of.oneOf;
  if (of.properties) return <Fields document={document} of={of} />;
  if (of.type === 'array' && of.items)
    return (
      <>
        <p className="muted">{t('list_of')}</p>
        <SchemaView document={document} schema={of.items} />
      </>
    );
  if (choices?.some((one) => resolve(document, one).of.properties))
    return (
      <>
        <p className="muted">{t('one_of')}</p>
        {choices.map((one, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: the choices do not move
          <div className="choice" key={index}>
            <SchemaView document={document} schema={one} />
          </div>
        ))}
      </>
    );
  return (
    <p>
      <code>{typeOf(document, of)}</code> <Said text={of.description} />
    </p>
  );
}

function Fields({ document, of }: { document: Document; of: Schema }) {
  return (
    <dl className="fields">
      {Object.entries(of.properties ?? {}).map(([name, field]) => {
        const { of: meant } = resolve(document, field);
        return (
          <div key={name}>
            <dt>
              <code>{name}</code>
              {of.required?.includes(name) && <span className="muted small"> {t('required')}</span>}
            </dt>
            <dd>
              <code className="type">{typeOf(document, field)}</code>{' '}
              <Said text={field.description ?? meant.description} />
              <Inside document={document} schema={field} name={name} />
            </dd>
          </div>
        );
      })}
    </dl>
  );
}

/** The fields of a field, made when they are asked for: a schema may refer to itself. */
function Inside({ document, schema, name }: SchemaProps & { name: string }) {
  const [open, setOpen] = useState(false);
  if (!hasFields(document, schema)) return null;
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{t('show_fields', { name })}</summary>
      {open && <SchemaView document={document} schema={schema} />}
    </details>
  );
}

function hasFields(document: Document, schema: Schema): boolean {
  const { of } = resolve(document, schema);
  if (of.properties) return true;
  if (of.items) return hasFields(document, of.items);
  return (of.anyOf ?? of.oneOf ?? []).some((one) => hasFields(document, one));
}

/** "string", "Count", "'a' | 'b'", "Site[] or null" */
export function typeOf(document: Document, schema: Schema): string {
  const { name, of } = resolve(document, schema);
  if (of.const !== undefined) return JSON.stringify(of.const);
  if (of.enum) return of.enum.map((one) => JSON.stringify(one)).join(' | ');
  const choices = of.anyOf ?? of.oneOf;
  if (choices && !name) {
    const shown = choices.filter((one) => one.type !== 'null').map((one) => typeOf(document, one));
    const nullable = choices.some((one) => one.type === 'null');
    return `${[...new Set(shown)].join(' | ')}${nullable ? ` ${t('nullable')}` : ''}`;
  }
  if (name && (of.properties || choices)) return name;
  if (of.type === 'array') return `${of.items ? typeOf(document, of.items) : t('any')}[]`;
  const type = Array.isArray(of.type) ? of.type.join(' | ') : of.type;
  if (type === 'object' && typeof of.additionalProperties === 'object')
    return `${t('map_of')} ${typeOf(document, of.additionalProperties)}`;
  const format = of.format ? ` (${of.format})` : '';
  return name ? `${name}: ${type ?? t('any')}${format}` : `${type ?? t('any')}${format}`;
}
