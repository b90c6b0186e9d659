// One operation: who may call it, its parameters, body and replies with their codes, and the same as curl.
import { useState } from 'react';
import { t } from '../../words/reference.ts';
import { curlOf, type Document, type Operation, resolve, schemesOf } from './document.ts';
import { Said } from './Said.tsx';
import { SchemaView, typeOf } from './SchemaView.tsx';

interface OperationProps {
  document: Document;
  operation: Operation;
}
const schemes = ['bearerToken', 'cronSecret', 'siteOrigin', 'apiKey', 'apiKeyBearer'] as const;
/** Every reply has them: they are no news. */
const usual_headers = ['x-request-id', 'x-opsmantik-commit', 'x-opsmantik-branch', 'x-opsmantik-version'];

export function OperationView(props: OperationProps & { open: boolean; toggle: (open: boolean) => void }) {
  const { document, operation, open, toggle } = props;
  const { method, path, summary, operationId } = operation;
  return (
    <details
      className="operation"
      id={operationId}
      open={open}
      onToggle={(event) => {
        if (event.target === event.currentTarget && event.currentTarget.open !== open)
          toggle(event.currentTarget.open);
      }}
    >
      <summary>
        <span className={`method method-${method.toLowerCase()}`}>{method}</span>
        <code>{path}</code>
        <span lang="en">{summary}</span>
      </summary>
      {open && <Opened document={document} operation={operation} />}
    </details>
  );
}

function Opened({ document, operation }: OperationProps) {
  const allowed = schemesOf(operation);
  const who = schemes.filter((one) => allowed.includes(one)).map((one) => t(one));
  return (
    <div className="operation-body">
      <p>
        <Said text={operation.description} />
      </p>
      <p>
        <strong>{t('who')}:</strong> {who.length ? who.join(', ') : t('anyone')}
      </p>
      <Parameters document={document} operation={operation} />
      <Body document={document} operation={operation} />
      <Replies document={document} operation={operation} />
      <Curl text={curlOf(document, operation, location.origin)} />
    </div>
  );
}

function Parameters({ document, operation }: OperationProps) {
  const parameters = (operation.parameters ?? []).map((one) => resolve(document, one).of);
  if (parameters.length === 0) return null;
  const label = `${t('parameters')} ${operation.operationId}`;
  return (
    <>
      <h3>{t('parameters')}</h3>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard */}
      <section className="table-scroll" tabIndex={0} aria-label={label}>
        <table>
          <thead>
            <tr>
              {(['name', 'where', 'type', 'meaning'] as const).map((head) => (
                <th key={head} scope="col">
                  {t(head)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {parameters.map((one) => (
              <tr key={`${one.in}-${one.name}`}>
                <th scope="row">
                  <code>{one.name}</code>
                  {one.required && <span className="muted small"> {t('required')}</span>}
                </th>
                <td>{t(`in_${one.in}`)}</td>
                <td>
                  <code>{typeOf(document, one.schema ?? {})}</code>
                </td>
                <td>
                  <Said text={one.description ?? one.schema?.description} />{' '}
                  {one.schema?.default !== undefined &&
                    t('default_is', { value: JSON.stringify(one.schema.default) })}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </>
  );
}

function Body({ document, operation }: OperationProps) {
  const entries = Object.entries(operation.requestBody?.content ?? {});
  const [first] = entries;
  if (!first?.[1].schema) return null;
  return (
    <>
      <h3>
        {t('body')} <code>{entries.map(([type]) => type).join(', ')}</code>
      </h3>
      <SchemaView document={document} schema={first[1].schema} />
    </>
  );
}

function Replies({ document, operation }: OperationProps) {
  return (
    <>
      <h3>{t('replies')}</h3>
      {Object.entries(operation.responses).map(([status, reply]) => (
        <Reply key={status} document={document} status={status} reply={resolve(document, reply).of} />
      ))}
    </>
  );
}

function Reply(props: { document: Document; status: string; reply: Operation['responses'][string] }) {
  const { document, status, reply } = props;
  const [open, setOpen] = useState(false);
  const contents = Object.entries(reply.content ?? {});
  const headers = Object.keys(reply.headers ?? {}).filter((name) => !usual_headers.includes(name));
  const tone = status.startsWith('2') ? 'good' : status.startsWith('5') ? 'bad' : 'warn';
  return (
    <details className="reply" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <span className={`badge tone-${tone}`}>{status}</span> <Said text={reply.description} />
      </summary>
      {open && (
        <>
          {headers.length > 0 && (
            <p>
              {t('headers')}: <code>{headers.join(', ')}</code>
            </p>
          )}
          {contents.length === 0 && <p className="muted">{t('no_body')}</p>}
          {contents.map(([type, { schema }]) => (
            <div key={type}>
              <p>
                <code>{type}</code>
              </p>
              {schema && <SchemaView document={document} schema={schema} />}
            </div>
          ))}
        </>
      )}
    </details>
  );
}

function Curl({ text }: { text: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1_500);
  };
  return (
    <>
      <h3>{t('curl')}</h3>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard */}
      <pre tabIndex={0}>{text}</pre>
      <div className="actions">
        <button type="button" onClick={() => void copy()}>
          {t('copy_curl')}
        </button>
        <span role="status">{copied ? t('copied') : ''}</span>
      </div>
      <p className="muted small">{t('curl_note')}</p>
    </>
  );
}
