// Starts the console, or says why it cannot.
import { createRoot } from 'react-dom/client';
import { App } from './app.tsx';
import { loadConfig } from './session/config.ts';
import { t } from './words/words.ts';
import './styles/console.css';

const root = createRoot(document.getElementById('app') as HTMLElement);
try {
  await loadConfig();
  root.render(<App />);
} catch (error) {
  root.render(
    <main className="page">
      <p role="alert">{t('start_failed', { error: (error as Error).message })}</p>
      <button type="button" onClick={() => location.reload()}>
        {t('try_again')}
      </button>
    </main>,
  );
}
