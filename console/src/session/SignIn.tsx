// The pages before there is a session: sign in, and the way back from the issuer.
import { useEffect, useState } from 'react';
import { useLocation } from 'wouter';
import { Page } from '../parts/Page.tsx';
import { Loading } from '../parts/states.tsx';
import { t } from '../words/words.ts';
import { begin, type State } from './session.ts';

/** The page's own address is where the person comes back to. */
export function SignIn({ ended }: { ended: State['ended'] }) {
  const [path] = useLocation();
  const [error, setError] = useState<Error>();
  const go = async () => {
    const { goToIssuer } = await import('./sign-in.ts');
    await goToIssuer(path === '/signed-in' ? '/' : `${path}${location.search}`).catch(setError);
  };
  const why =
    ended === 'expired' ? 'sign_in_expired' : ended === 'signed-out' ? 'signed_out' : 'sign_in_intro';
  return (
    <Page title={t('sign_in')}>
      <p role="status">{t(why)}</p>
      {error && <p role="alert">{error.message}</p>}
      <button type="button" className="primary" onClick={() => void go()}>
        {t('sign_in')}
      </button>
    </Page>
  );
}

/** /console/signed-in */
export function SignedIn() {
  const [, navigate] = useLocation();
  const [error, setError] = useState<Error>();
  // biome-ignore lint/correctness/useExhaustiveDependencies: a code is taken once
  useEffect(() => {
    void (async () => {
      try {
        const { takeAnswer } = await import('./sign-in.ts');
        const { token, back } = await takeAnswer(new URL(location.href));
        navigate(back, { replace: true });
        begin(token);
      } catch (failed) {
        setError(failed as Error);
        navigate('/signed-in', { replace: true }); // a reload must not try the code again
      }
    })();
  }, []);
  if (!error) return <Loading />;
  return (
    <>
      <SignIn ended={undefined} />
      <p role="alert">
        {t('sign_in_failed')} <span className="muted">{error.message}</span>
      </p>
    </>
  );
}
