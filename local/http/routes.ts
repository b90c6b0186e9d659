// Chooses the route of a request as an HTTP API does: exact path, then variables, then greedy variables, then $default.
//
// Not reproduced: base path mappings of custom domains and route selection by anything but method and path.

/** A route of the template, its integration already resolved to a function. */
export interface Route {
  /** "POST /api/sync", "ANY /api/{proxy+}" or "$default". */
  routeKey: string;
  functionName: string;
  /** `TimeoutInMillis` of the integration; 30 s unless told. */
  timeoutMs?: number;
}

export interface Match<R extends Route> {
  route: R;
  pathParameters: Record<string, string>;
}

interface Compiled<R extends Route> {
  route: R;
  method: string;
  segments: string[];
  rank: number[];
}

const LITERAL = 0;
const VARIABLE = 1;
const GREEDY = 2;

/** @throws Error that names the first route key that is not understood. */
export function compileRoutes<R extends Route>(
  routes: R[],
): (method: string, path: string) => Match<R> | undefined {
  const fallback = routes.find(({ routeKey }) => routeKey === '$default');
  const compiled = routes
    .filter((route) => route !== fallback)
    .map(compile)
    .sort(bySpecificity);
  const exact = new Map<string, R>();
  for (const { route, rank } of compiled)
    if (!rank.some((kind) => kind > LITERAL)) exact.set(route.routeKey, route);

  return (method, path) => {
    const hit = exact.get(`${method} ${path}`);
    if (hit !== undefined) return { route: hit, pathParameters: {} };
    const segments = path.split('/').slice(1);
    for (const one of compiled) {
      if (one.method !== 'ANY' && one.method !== method) continue;
      const pathParameters = matchSegments(one.segments, segments);
      if (pathParameters !== undefined) return { route: one.route, pathParameters };
    }
    return fallback && { route: fallback, pathParameters: {} };
  };
}

function compile<R extends Route>(route: R): Compiled<R> {
  const [, method, path] = /^([A-Z]+) \/(.*)$/.exec(route.routeKey) ?? [];
  if (method === undefined || path === undefined) {
    throw new Error(`The route key "${route.routeKey}" is neither "METHOD /path" nor "$default".`);
  }
  const segments = path.split('/');
  return { route, method, segments, rank: segments.map(kindOf) };
}

function kindOf(segment: string): number {
  if (!segment.startsWith('{')) return LITERAL;
  return segment.endsWith('+}') ? GREEDY : VARIABLE;
}

function bySpecificity(a: Compiled<Route>, b: Compiled<Route>): number {
  for (let i = 0; i < Math.max(a.rank.length, b.rank.length); i += 1) {
    const difference = (a.rank[i] ?? LITERAL) - (b.rank[i] ?? LITERAL);
    if (difference !== 0) return difference;
  }
  // A route for the method itself goes before ANY.
  return Number(a.method === 'ANY') - Number(b.method === 'ANY');
}

function matchSegments(pattern: string[], path: string[]): Record<string, string> | undefined {
  const found: Record<string, string> = {};
  for (const [i, expected] of pattern.entries()) {
    const actual = path[i];
    const kind = kindOf(expected);
    if (actual === undefined) return undefined;
    if (kind === GREEDY) {
      const rest = path.slice(i).join('/');
      if (rest === '') return undefined;
      found[expected.slice(1, -2)] = decodeURIComponent(rest);
      return found;
    }
    if (kind === VARIABLE) {
      if (actual === '') return undefined;
      found[expected.slice(1, -1)] = decodeURIComponent(actual);
    } else if (expected !== actual) return undefined;
  }
  return pattern.length === path.length ? found : undefined;
}
