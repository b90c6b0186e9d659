// Sign-in by OpenID Connect: authorization code with PKCE; state and nonce bind the answer to the question of this tab.
import {
  type AuthorizationServer,
  allowInsecureRequests,
  authorizationCodeGrantRequest,
  type Client,
  calculatePKCECodeChallenge,
  generateRandomCodeVerifier,
  generateRandomNonce,
  generateRandomState,
  None,
  processAuthorizationCodeResponse,
  validateAuthResponse,
} from 'oauth4webapi';
import { config } from './config.ts';

const flow_key = 'rk:flow';

interface Flow {
  state: string;
  nonce: string;
  verifier: string;
  /** Where the person was: a path below /console with its query. */
  back: string;
}

/** Leaves the page for the issuer. */
export async function goToIssuer(back: string): Promise<void> {
  const flow: Flow = {
    state: generateRandomState(),
    nonce: generateRandomNonce(),
    verifier: generateRandomCodeVerifier(),
    back,
  };
  sessionStorage.setItem(flow_key, JSON.stringify(flow));
  const url = new URL(config().authorization_endpoint);
  const asked = {
    response_type: 'code',
    client_id: config().client_id,
    redirect_uri: redirectUri(),
    scope: 'openid',
    state: flow.state,
    nonce: flow.nonce,
    code_challenge: await calculatePKCECodeChallenge(flow.verifier),
    code_challenge_method: 'S256',
  };
  for (const [name, value] of Object.entries(asked)) url.searchParams.set(name, value);
  location.assign(url);
}

/** Takes the issuer's answer. @throws Error when it is not the answer to what this tab asked. */
export async function takeAnswer(answer: URL): Promise<{ token: string; back: string }> {
  const kept = sessionStorage.getItem(flow_key);
  sessionStorage.removeItem(flow_key); // a code is good once
  if (!kept) throw new Error('This tab did not ask to sign in.');
  const flow = JSON.parse(kept) as Flow;
  const { issuer, client_id, token_endpoint } = config();
  const server: AuthorizationServer = { issuer, token_endpoint };
  const client: Client = { client_id };
  const parameters = validateAuthResponse(server, client, answer, flow.state);
  const response = await authorizationCodeGrantRequest(
    ...([server, client, None(), parameters, redirectUri(), flow.verifier] as const),
    { [allowInsecureRequests]: new URL(token_endpoint).hostname === '127.0.0.1' },
  );
  const tokens = await processAuthorizationCodeResponse(server, client, response, {
    expectedNonce: flow.nonce,
    requireIdToken: true,
  });
  return { token: tokens.access_token, back: flow.back };
}

/** Where the issuer signs the person out too, when it does. */
export function endSessionUrl(): string | undefined {
  const { end_session_endpoint, client_id } = config();
  if (!end_session_endpoint) return undefined;
  const url = new URL(end_session_endpoint);
  const home = `${location.origin}/console`;
  // Cognito's name for it, and the standard's.
  for (const name of ['logout_uri', 'post_logout_redirect_uri']) url.searchParams.set(name, home);
  url.searchParams.set('client_id', client_id);
  return url.href;
}

const redirectUri = () => `${location.origin}/console/signed-in`;
