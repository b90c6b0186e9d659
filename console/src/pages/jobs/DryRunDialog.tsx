// A dialog that cannot run anything before a dry run of the very same order was shown.
import { type ReactNode, useState } from 'react';
import { Dialog } from '../../parts/Dialog.tsx';
import { RequestId, sentence } from '../../parts/states.tsx';
import { t } from '../../words/jobs.ts';
import { t as shell } from '../../words/words.ts';

interface DryRunDialogProps<Plan> {
  title: string;
  fields: ReactNode;
  dryRun: (form: FormData) => Promise<Plan>;
  show: (plan: Plan) => ReactNode;
  /** Whether the plan would do anything. */
  applies: (plan: Plan) => boolean;
  consequence: (plan: Plan) => ReactNode;
  action: (plan: Plan) => string;
  /** Runs the plan; what it resolves to is shown as the result. */
  run: (plan: Plan) => Promise<ReactNode>;
  onClose: () => void;
}

export function DryRunDialog<Plan>(props: DryRunDialogProps<Plan>) {
  const { title, fields, dryRun, show, applies, consequence, action, run, onClose } = props;
  const [plan, setPlan] = useState<{ of: Plan }>();
  const [result, setResult] = useState<{ shown: ReactNode }>();
  const [running, setRunning] = useState(false);
  const [error, setError] = useState<Error>();
  const attempt = async (work: () => Promise<void>) => {
    setRunning(true);
    setError(undefined);
    try {
      await work();
    } catch (refused) {
      setError(refused as Error);
    }
    setRunning(false);
  };
  if (result)
    return (
      <Dialog title={title} onClose={onClose}>
        <div className="state state-good" role="status">
          {result.shown}
        </div>
        <button type="button" onClick={onClose} ref={(button) => button?.focus()}>
          {shell('close')}
        </button>
      </Dialog>
    );
  return (
    <Dialog title={title} onClose={onClose}>
      {plan === undefined ? (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            const form = new FormData(event.currentTarget);
            void attempt(async () => setPlan({ of: await dryRun(form) }));
          }}
        >
          {fields}
          <p className="muted">{t('dry_first')}</p>
          <Refused error={error} />
          <div className="actions">
            <button type="submit" className="primary" disabled={running}>
              {t(running ? 'dry_running' : 'dry_run')}
            </button>
            <button type="button" onClick={onClose}>
              {shell('cancel')}
            </button>
          </div>
        </form>
      ) : (
        <>
          <div role="status">{show(plan.of)}</div>
          {applies(plan.of) && <div className="consequence">{consequence(plan.of)}</div>}
          <Refused error={error} />
          <div className="actions">
            {applies(plan.of) && (
              <button
                type="button"
                className="primary"
                disabled={running}
                onClick={() => void attempt(async () => setResult({ shown: await run(plan.of) }))}
              >
                {action(plan.of)}
              </button>
            )}
            <button type="button" disabled={running} onClick={() => setPlan(undefined)}>
              {t('change')}
            </button>
            <button type="button" onClick={onClose}>
              {shell('cancel')}
            </button>
          </div>
        </>
      )}
    </Dialog>
  );
}

function Refused({ error }: { error: Error | undefined }) {
  if (!error) return null;
  return (
    <div className="state state-failed" role="alert">
      <p>{shell('failed', { error: sentence(error) })}</p>
      <RequestId of={error} />
    </div>
  );
}
