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
  type Send = (...args: unknown[]) => unknown;
  const { writeHead, write, end } = response as unknown as Record<string, Send>;
  const held: (() => unknown)[] = [];
  const hold = (send: Send | undefined, args: unknown[]) => held.push(() => send?.apply(response, args));
  let asked = false;
  const ask = () => {
    if (asked) return;
    asked = true;
    Promise.resolve(fault('after', call))
      .then((outcome) => {
        Object.assign(response, { writeHead, write, end });
        if (typeof outcome === 'object')
          for (const name of response.getHeaderNames()) response.removeHeader(name);
        if (applyFault(outcome, call, response)) return;
        for (const send of held) send();
        response.emit('drain'); // a stream was told to wait
      })
      .catch((error: unknown) => request.destroy(error as Error));
  };
  Object.assign(response, {
    writeHead(...args: unknown[]) {
      hold(writeHead, args);
      return response;
    },
    write(...args: unknown[]) {
      hold(write, args);
      ask();
      return false;
    },
    end(...args: unknown[]) {
      hold(end, args);
      ask();
      return response;
    },
  });
}
