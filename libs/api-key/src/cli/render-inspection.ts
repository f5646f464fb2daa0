import type { ApiKeyInspection, RouteInspection } from '../index';
import { columns, renderKey } from './render';

type Inspected = Pick<ApiKeyInspection, 'state' | 'reason' | 'routes'>;

const REASONS: Readonly<Record<NonNullable<Inspected['reason']>, string>> = {
  malformed:
    'This is not a key of this application: it is cut off, mistyped, or of another form. Give it alone, without Bearer.',
  prefix:
    'The application does not accept the prefix of the key: it belongs to another application or environment, or its prefix is missing in option acceptedPrefixes.',
  unknown: 'No key is stored for it: it was deleted, or belongs to another database.',
  expired: 'The key has expired.',
  unused: 'The key has ended, because nobody used it for too long (option policy.endUnusedAfterDays).',
  revoked: 'The key is revoked.',
  disabled: 'The key is disabled. Command enable gives it back.',
  owner: 'The application refuses the owner of the key (option loadUser).',
};

/** What a key is, one line a field, and the routes that it opens. */
export function renderInspection({ reason, routes, ...fields }: Inspected): string {
  const verdict = reason === null ? 'ACCEPTED' : `REFUSED. ${REASONS[reason]}`;
  const parts = [verdict, renderKey(fields)];
  return ('id' in fields ? [...parts, ...renderRoutes(routes, reason !== null)] : parts).join('\n\n');
}

function renderRoutes(routes: readonly RouteInspection[], isRefused: boolean): string[] {
  if (routes.length === 0)
    return ['No routes: this program does not load the controllers of the application, or none needs a key.'];
  const closed = routes.filter(({ missing }) => missing.length > 0);
  const rest = routes.filter(({ missing }) => missing.length === 0);
  const open = rest.filter(({ acceptsEnvironment }) => acceptsEnvironment);
  const foreign = rest.filter(({ acceptsEnvironment }) => !acceptsEnvironment);
  return [
    table(isRefused ? 'Routes that its scopes would open' : 'Routes that it opens', 'NEEDS', open, neededBy),
    table('Routes for which it lacks scopes', 'MISSING', closed, ({ missing }) => missing.join(',')),
    ...(foreign.length === 0 ? [] : [foreignTable(foreign)]),
  ];
}

function foreignTable(routes: readonly RouteInspection[]): string {
  const title = 'Routes that do not accept the environment of the key';
  return table(title, 'ENVIRONMENTS', routes, ({ environments }) => [environments].flat().join(','));
}

function table(
  title: string,
  head: string,
  routes: readonly RouteInspection[],
  cellOf: (route: RouteInspection) => string,
): string {
  if (routes.length === 0) return `${title}: none.`;
  const rows = routes.map((route) => [route.method, route.path, cellOf(route) || '-', route.handler]);
  return `${title}:\n${columns([['METHOD', 'PATH', head, 'HANDLER'], ...rows])}`;
}

function neededBy({ scopes, anyScope }: RouteInspection): string {
  return [...scopes, ...anyScope.map((group) => group.join('|'))].join(',');
}
