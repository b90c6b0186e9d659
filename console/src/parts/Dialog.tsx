// Native modal dialogs; the focus goes back to what opened them.
import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef, useState } from 'react';
import { t } from '../words/words.ts';
import { Field } from './Field.tsx';
import { RequestId, sentence } from './states.tsx';

export interface DialogProps {
  title: string;
  onClose: () => void;
  /** `side` is a drawer for details. */
  kind?: 'middle' | 'side';
  children: ReactNode;
}

/** Open for as long as it is rendered: `{open && <Dialog … />}`. Escape and the backdrop close it. */
export function Dialog({ title, onClose, kind = 'middle', children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const opener = document.activeElement;
    const shown = dialog.current;
    if (shown && !shown.open) shown.showModal();
    // Not at the button that closes it: a person who opened a form goes on by typing.
    shown?.querySelector<HTMLElement>('form :is(input, select, textarea)')?.focus();
    return () => {
      shown?.close();
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape is the key, and the browser's own
    <dialog
      ref={dialog}
      className={`dialog dialog-${kind}`}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === dialog.current && onClose()}
    >
      <div className="dialog-body">
        <header className="dialog-head">
          <h2 id={heading}>{title}</h2>
          <button type="button" className="quiet" onClick={onClose} aria-label={t('close')}>
            ✕
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}

export interface ReasonDialogProps {
  title: string;
  /** What will happen, in full: "Pays 840.00 EUR to DE…4471. It cannot be taken back." */
  consequence: ReactNode;
  /** The button names it too: "Pay 840.00 EUR". */
  action: string;
  danger?: boolean;
  /** 'optional' or 'none' where the contract asks for no reason. */
  reason?: 'needed' | 'optional' | 'none';
  reason_min?: number;
  /** Whether the operation takes the key, which is then shown: whoever asks later can name it. */
  keyed?: boolean;
  /** Other fields above the reason. */
  fields?: ReactNode;
  /** `key` was made when the dialog opened and is the same at every try. What it resolves to is shown as the result. */
  act: (given: { reason: string; key: string; form: FormData }) => Promise<ReactNode>;
  onClose: () => void;
}

/** Asks for a reason, names the consequence, acts under one idempotency key, and shows the result or the refusal. */
export function ReasonDialog(props: ReasonDialogProps) {
  const {
    title,
    consequence,
    action,
    danger,
    reason = 'needed',
    reason_min = 3,
    keyed,
    fields,
    act,
    onClose,
  } = props;
  const [key] = useState(() => crypto.randomUUID());
  const [running, setRunning] = useState(false);
  const [error, setError] = useState<Error>();
  const [result, setResult] = useState<{ shown: ReactNode }>();
  const [tooShort, setTooShort] = useState(false);
  const submit = async (form: FormData) => {
    const given = String(form.get('reason') ?? '').trim();
    const short = reason === 'needed' && given.length < reason_min;
    setTooShort(short);
    if (short || running) return;
    setRunning(true);
    setError(undefined);
    try {
      setResult({ shown: (await act({ reason: given, key, form })) ?? t('done') });
    } catch (refused) {
      setError(refused instanceof Error ? refused : new Error(String(refused)));
    }
    setRunning(false);
  };
  return (
    <Dialog title={title} onClose={onClose}>
      {result ? (
        <>
          <div className="state state-good" role="status">
            {result.shown}
          </div>
          <div className="actions">
            <button type="button" onClick={onClose} ref={(button) => button?.focus()}>
              {t('close')}
            </button>
          </div>
        </>
      ) : (
        <form
          noValidate
          onSubmit={(event) => {
            event.preventDefault();
            void submit(new FormData(event.currentTarget));
          }}
        >
          <div className="consequence">{consequence}</div>
          {fields}
          {reason !== 'none' && (
            <Field
              label={t('reason')}
              hint={t('reason_hint')}
              {...(tooShort && { error: t('reason_needed', { n: reason_min }) })}
            >
              {(field) => (
                <textarea
                  name="reason"
                  rows={3}
                  required={reason === 'needed'}
                  maxLength={1000}
                  onKeyDown={submitByEnter}
                  {...field}
                />
              )}
            </Field>
          )}
          {error && (
            <div className="state state-failed" role="alert">
              <p>{t('failed', { error: sentence(error) })}</p>
              <RequestId of={error} />
            </div>
          )}
          <div className="actions">
            <button type="submit" className={danger ? 'danger' : 'primary'} disabled={running}>
              {action}
            </button>
            <button type="button" onClick={onClose}>
              {t('cancel')}
            </button>
          </div>
          {keyed && (
            <p className="muted small">
              Idempotency-Key <code>{key}</code>
            </p>
          )}
        </form>
      )}
    </Dialog>
  );
}

/** As in any field of one line; with Shift a new line begins. */
function submitByEnter(event: KeyboardEvent<HTMLTextAreaElement>): void {
  if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
  event.preventDefault();
  event.currentTarget.form?.requestSubmit();
}
