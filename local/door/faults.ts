// Injects failures into the calls that pass the door: before the service sees them, or after it did its work.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FaultOutcome, FaultPoint } from '../data-api/server.ts';
import { sendError } from './aws-request.ts';

export type DoorCall = { service: string; operation: string; identity: string; sql?: string };
export type Fault = (point: FaultPoint, call: DoorCall) => Promise<FaultOutcome> | undefined;

/** True when the fault has dealt with the call. */
export function applyFault(
  outcome: FaultOutcome | undefined,
  call: DoorCall,
  response: ServerResponse,
): boolean {
  if (outcome === undefined || outcome === 'ok') return false;
  if (outcome === 'drop') response.destroy();
  else {
    const { error: name, message = 'Injected fault', status = 400 } = outcome;
    sendError(response, call.service, { name, message, status });
  }
  return true;
}

/** Holds back the reply of a service until the fault has been asked: the work is done, the caller does not know yet. */
export function holdReply(
  request: IncomingMessage,
  response: ServerResponse,
  fault: Fault,
  call: DoorCall,
): void {
  const { writeHead, end } = response;
  let head: unknown[] | undefined;
  const restore = () => Object.assign(response, { writeHead, end });
  Object.assign(response, {
    writeHead(...args: unknown[]) {
      head = args;
      return response;
    },
    end(...args: unknown[]) {
      Promise.resolve(fault('after', call))
        .then((outcome) => {
          restore();
          if (typeof outcome === 'object')
            for (const name of response.getHeaderNames()) response.removeHeader(name);
          if (applyFault(outcome, call, response)) return;
          if (head) (writeHead as (...args: unknown[]) => unknown).apply(response, head);
          (end as (...args: unknown[]) => unknown).apply(response, args);
        })
        .catch((error: unknown) => request.destroy(error as Error));
      return response;
    },
  });
}
