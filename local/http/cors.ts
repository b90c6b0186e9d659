// Answers preflight requests and writes CORS headers when the API of the template has a CorsConfiguration.
import type { IncomingMessage } from 'node:http';
import type { HttpResponse } from './response.ts';

/** `CorsConfiguration` as in the template. */
export interface CorsConfiguration {
  AllowOrigins?: string[];
  AllowMethods?: string[];
  AllowHeaders?: string[];
  ExposeHeaders?: string[];
  MaxAge?: number;
  AllowCredentials?: boolean;
}

/** Only an OPTIONS request with an origin and a requested method is a preflight; others go to the routes. */
export function preflight(cors: CorsConfiguration, request: IncomingMessage): HttpResponse | undefined {
  const requested = request.headers['access-control-request-method'];
  if (request.method !== 'OPTIONS' || request.headers.origin === undefined || requested === undefined) {
    return undefined;
  }
  const headers: Record<string, string> = {};
  const origin = allowedOrigin(cors, request.headers.origin);
  if (origin !== undefined) {
    headers['access-control-allow-origin'] = origin;
    if (cors.AllowMethods) headers['access-control-allow-methods'] = cors.AllowMethods.join(',');
    if (cors.AllowHeaders) headers['access-control-allow-headers'] = cors.AllowHeaders.join(',');
    if (cors.MaxAge !== undefined) headers['access-control-max-age'] = String(cors.MaxAge);
    if (cors.AllowCredentials) headers['access-control-allow-credentials'] = 'true';
  }
  return { status: 204, headers, body: '' };
}

/** Replaces the CORS headers of the integration: the gateway ignores those once it has its own configuration. */
export function applyCors(cors: CorsConfiguration, request: IncomingMessage, response: HttpResponse): void {
  for (const name of Object.keys(response.headers)) {
    if (name.startsWith('access-control-')) delete response.headers[name];
  }
  const origin = allowedOrigin(cors, request.headers.origin);
  if (origin === undefined) return;
  response.headers['access-control-allow-origin'] = origin;
  if (cors.ExposeHeaders) response.headers['access-control-expose-headers'] = cors.ExposeHeaders.join(',');
  if (cors.AllowCredentials) response.headers['access-control-allow-credentials'] = 'true';
}

function allowedOrigin(cors: CorsConfiguration, origin: string | undefined): string | undefined {
  if (origin === undefined) return undefined;
  const allowed = cors.AllowOrigins ?? [];
  if (allowed.includes('*')) return cors.AllowCredentials ? origin : '*';
  const matches = allowed.some(
    (one) => one === origin || (/^https?:\/\/\*$/.test(one) && origin.startsWith(one.slice(0, -1))),
  );
  return matches ? origin : undefined;
}
