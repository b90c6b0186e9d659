// The settings of the stage, from /config.json of the same origin.
export interface Config {
  stage: string;
  build: string;
  region: string;
  issuer: string;
  client_id: string;
  authorization_endpoint: string;
  token_endpoint: string;
  end_session_endpoint?: string;
  languages: readonly string[];
}

let known: Config | undefined;
const path = '/config.json';

/** @throws Error when it cannot be read. */
export async function loadConfig(): Promise<Config> {
  const response = await fetch(path, { cache: 'no-cache' });
  if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`);
  known = (await response.json()) as Config;
  return known;
}

/** After the start it is known. */
export function config(): Config {
  if (!known) throw new Error('The settings are not loaded.');
  return known;
}

/** Whether another build than the one that this tab began with is deployed. @throws when it cannot be read */
export async function isStale(): Promise<boolean> {
  const response = await fetch(path, { cache: 'no-cache' });
  return response.ok && ((await response.json()) as Config).build !== known?.build;
}
