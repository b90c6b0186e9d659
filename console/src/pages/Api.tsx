// The API reference, from the OpenAPI document of this very deployment: by topic, with a search.
import { useMemo } from 'react';
import { useRead } from '../api/query.ts';
import { useView } from '../api/view.ts';
import { Field, Filters } from '../parts/Field.tsx';
import { Page, Section } from '../parts/Page.tsx';
import { NoMatch, Show } from '../parts/states.tsx';
import { t } from '../words/reference.ts';
import { type Document, operationsOf, textOf } from './api/document.ts';
import { OperationView } from './api/OperationView.tsx';
import { Said } from './api/Said.tsx';
import '../styles/api.css';

export default function Api() {
  const read = useRead('GET /openapi.json', {});
  return (
    <Page title={t('title')} as_of_ms={read.as_of_ms} actions={<a href="/openapi.json">{t('document')}</a>}>
      <Show read={read}>{(answer) => <Reference document={answer as unknown as Document} />}</Show>
    </Page>
  );
}

function Reference({ document }: { document: Document }) {
  const [view, setView, { clear }] = useView({ q: '', id: '' });
  const operations = useMemo(
    () => operationsOf(document).map((operation) => ({ operation, text: textOf(operation) })),
    [document],
  );
  const words = view.q.toLowerCase().split(/\s+/).filter(Boolean);
  const found = operations.filter(({ text }) => words.every((word) => text.includes(word)));
  return (
    <>
      <p>{t('intro', { origin: location.origin, version: document.info.version })}</p>
      <Filters apply={setView} clear={clear}>
        <Field label={t('search')} hint={t('search_hint')}>
          {(field) => <input type="search" name="q" defaultValue={view.q} key={view.q} {...field} />}
        </Field>
      </Filters>
      <p className="muted" role="status">
        {t('found', { n: found.length })}
      </p>
      {found.length === 0 && <NoMatch clear={clear} />}
      {(document.tags ?? []).map(({ name, description }) => {
        const here = found.filter(({ operation }) => operation.tags?.includes(name));
        if (here.length === 0) return null;
        return (
          <Section key={name} title={`${name.charAt(0).toUpperCase()}${name.slice(1)}`}>
            <p className="muted">
              <Said text={description} />
            </p>
            {here.map(({ operation }) => (
              <OperationView
                key={operation.operationId}
                document={document}
                operation={operation}
                open={view.id === operation.operationId}
                toggle={(open) => setView({ id: open ? operation.operationId : '' })}
              />
            ))}
          </Section>
        );
      })}
    </>
  );
}
