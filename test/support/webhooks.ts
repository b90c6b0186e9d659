// How the tests send webhooks: byte for byte, with header names as they are written, and signed as each provider signs.
import { createHmac, randomUUID } from 'node:crypto';
import { request } from 'node:http';
import Stripe from 'stripe';
import type { JsonAnswer, TestStack } from './stack.ts';

export type Headers = Record<string, string>;
export type Provider = 'mockpsp' | 'stripe' | 'paynow';

/** By node:http: fetch would write the names of headers in its own way. */
export function post(
  stack: TestStack,
  path: string,
  raw: string | Buffer,
  headers: Headers = {},
): Promise<JsonAnswer> {
  const body = Buffer.from(raw);
  const options = {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': body.length, ...headers },
  };
  return new Promise((resolve, reject) => {
    const call = request(`${stack.url}/api/v1${path}`, options, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }));
    });
    call.on('error', reject);
    call.end(body);
  });
}

export const nowS = (): number => Math.floor(Date.now() / 1_000);

export function digest(
  secret: string,
  timestamp: string | number,
  raw: string | Buffer,
  hash = 'sha256',
): Buffer {
  return createHmac(hash, secret).update(`${timestamp}.`).update(raw).digest();
}

export function signMock(raw: string | Buffer, secret: string, at: string | number = nowS()): Headers {
  return {
    'x-mockpsp-timestamp': String(at),
    'x-mockpsp-signature': digest(secret, at, raw).toString('hex'),
  };
}

export function signPayout(raw: string, secret: string, at: string | number = nowS()): Headers {
  return {
    'x-webhook-timestamp': String(at),
    'x-webhook-signature': digest(secret, at, raw).toString('hex'),
  };
}

export function signPayNow(raw: string, secret: string, at: string | number = Date.now()): Headers {
  return { 'paynow-timestamp': String(at), 'paynow-signature': digest(secret, at, raw).toString('base64') };
}

/** By Stripe's own library. */
export function signStripe(payload: string, secret: string, timestamp = nowS()): Headers {
  return { 'stripe-signature': Stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp }) };
}

/** Gives a provider a new webhook secret beside its present one, before a function has read it; the two. */
export async function rotate(stack: TestStack, provider: Provider): Promise<{ now: string; before: string }> {
  const { ref } = stack.resource('AWS::SecretsManager::Secret', `Payments${provider}`);
  const before = stack.state.secret(ref.split(':').at(-1) ?? '');
  const now = `rotated-${randomUUID()}`;
  const secret = { webhook_secret: now, previous_webhook_secret: before, api_key: '' };
  await stack.door.addSecret(ref, JSON.stringify(secret));
  return { now, before };
}
