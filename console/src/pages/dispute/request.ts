// Asks for a dispute export: the file itself, how far it is, or where it is to be had.
import { ApiError, address } from '../../api/client.ts';
import { reach } from '../../api/connection.ts';
import { sha256 } from '../../prove/recount.ts';
import { session } from '../../session/session.ts';

const operation = 'GET /api/billing/dispute-export';
const retry_usual_s = 2;

export interface Scope {
  site: string;
  month: string;
  export_id?: string | undefined;
}
export type Outcome =
  | { kind: 'inline'; csv: ArrayBuffer; name: string; rows: number; expected: string; found: string }
  | { kind: 'building'; export_id: string; rows_done: string; row_count: string; retry_after_s: number }
  | { kind: 'link'; url: string; manifest_url: string; name: string; hash: string | null; expires_s: number }
  | { kind: 'redirect'; url: string; name: string };

/** @throws ApiError, NetworkError */
export async function requestExport(scope: Scope, signal: AbortSignal): Promise<Outcome> {
  const { site, month, export_id } = scope;
  const { url } = address(operation, { query: { site_id: site, year_month: month, export_id } });
  const name = `dispute-export-${site}-${month}.csv`;
  const response = await ask(url, signal);
  // The store of the files is another origin, which the policy of the page's content does not let it call.
  if (response.type === 'opaqueredirect')
    return { kind: 'redirect', url: new URL(url, location.href).href, name };
  if (!response.ok) throw await refusal(response);
  if (!response.headers.get('content-type')?.includes('json')) return inline(response, name);
  const body = (await response.json()) as Record<string, string> & { link_expires_s?: number };
  if (body.status === 'ready')
    return {
      ...{ kind: 'link', url: body.url ?? '', manifest_url: body.manifest_url ?? '', name },
      ...{ hash: body.export_hash ?? null, expires_s: body.link_expires_s ?? 0 },
    };
  return {
    ...{ kind: 'building', export_id: body.export_id ?? '', rows_done: body.rows_done ?? '0' },
    row_count: body.row_count ?? '0',
    retry_after_s: Number(response.headers.get('retry-after')) || retry_usual_s,
  };
}

function ask(url: string, signal: AbortSignal): Promise<Response> {
  const token = session.get().session?.token;
  return reach(url, {
    ...{ signal, redirect: 'manual' },
    headers: { accept: 'application/json, text/csv', ...(token && { authorization: `Bearer ${token}` }) },
  });
}

async function inline(response: Response, usual: string): Promise<Outcome> {
  const csv = await response.arrayBuffer();
  const bytes = new Uint8Array(csv);
  const lines = bytes.reduce((sum, byte) => sum + (byte === 10 ? 1 : 0), 0); // the header's line feed and so on, none at the end
  const named = /filename="([^"]+)"/.exec(response.headers.get('content-disposition') ?? '')?.[1];
  return {
    ...{ kind: 'inline', csv, name: named ?? usual, rows: lines },
    expected: response.headers.get('x-opsmantik-export-hash') ?? '',
    found: await sha256(bytes),
  };
}

async function refusal(response: Response): Promise<ApiError> {
  const { status } = response;
  const body = (await response.json().catch(() => ({}))) as Record<string, string | undefined>;
  return new ApiError(status, body.code ?? `http_${status}`, body.error ?? `HTTP ${status}`, body.request_id);
}

/** For a shell: follows the redirect and keeps the name that the kernel gives. */
export function commandOf(url: string): string {
  return `curl --fail --location --remote-name --remote-header-name --header "Authorization: Bearer $TOKEN" '${url}'`;
}
