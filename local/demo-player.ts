// The player of a newcomer's first deposit: registered by their own token, verified and approved by finance, at each start.
import { demoUsers, type Issuer } from './issuer.ts';

/** @throws Error with the API's sentence. */
export async function demoPlayer(url: string, issuer: Issuer): Promise<void> {
  const post = async (role: string, path: string, body: object) => {
    const user = demoUsers.find((one) => one.role === role);
    if (!user) throw new Error(`There is no demo user with the role ${role}.`);
    const answer = await fetch(`${url}/api/v1${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await issuer.token(user)}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (answer.ok) return;
    const { error } = (await answer.json()) as { error?: string };
    throw new Error(`The demo player could not be prepared: ${error ?? answer.status}`);
  };
  const player = `/admin/players/${demoUsers.find(({ role }) => role === 'player')?.id}`;
  await post('player', '/player/register', {});
  await post('finance', `${player}/verification`, { email_verified: true, sms_verified: true });
  await post('finance', `${player}/kyc`, { decision: 'approved', reason: 'demo player' });
}
