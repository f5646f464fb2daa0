import { type ApiKeyDescription, type ApiKeyUsage, printable, type RecordedApiKeyEvent } from '../index';

/** A table with one line for each key, or a sentence if there are no keys. */
export function renderTable(keys: readonly ApiKeyDescription[]): string {
  if (keys.length === 0) return 'No keys.';
  const head = ['ID', 'USER', 'NAME', 'KEY', 'STATE', 'SCOPES', 'EXPIRES', 'LAST USED'];
  const rows = keys.map((key) => [
    key.id,
    key.userId,
    key.name,
    key.masked,
    key.state,
    key.scopes.join(',') || '-',
    dateOr(endOf(key), 'never'),
    dateOr(key.lastUsedAt, 'never'),
  ]);
  return columns([head, ...rows]);
}

/** The earlier of the expiry of a key and the time at which the key ends unused. */
function endOf({ expiresAt, endsUnusedAt }: ApiKeyDescription): Date | null {
  const ends = [expiresAt, endsUnusedAt].filter((end) => end !== null);
  return ends.sort((a, b) => a.getTime() - b.getTime())[0] ?? null;
}

/** What a field means if it is empty, in the words of the options. Others get a dash. */
const IF_EMPTY: Readonly<Record<string, string>> = {
  lastUsedAt: 'never',
  expiresAt: 'never',
  endsUnusedAt: 'never',
  rateLimit: 'default',
  quota: 'none',
  allowedIps: 'everywhere',
};

/** One key, with one line for each field. */
export function renderKey(key: object): string {
  const fields = Object.entries(key).map(([name, value]): [string, string] => [
    name,
    textOf(value ?? IF_EMPTY[name]),
  ]);
  return fields.map(([name, value]) => `${name.padEnd(14)}${printable(value)}`).join('\n');
}

/** The use of a key: its quota, then one line for each day and for each hour. */
export function renderUsage({ quota, hours, days }: ApiKeyUsage): string {
  const spent = quota
    ? `Quota: ${quota.used} of ${quota.limit} this ${quota.period}, resets ${dateOr(quota.resetsAt, 'never')}`
    : 'Quota: none';
  return [spent, renderPeriods('DAY', days), renderPeriods('HOUR', hours)].join('\n\n');
}

/** The events of a key, newest first, with one line for each event. */
export function renderEvents(events: readonly RecordedApiKeyEvent[]): string {
  const rows = events.map(({ at, type, actor, address, details }) => [
    isoOf(at),
    type,
    actor.id === null ? actor.type : `${actor.type} ${actor.id}`,
    address ?? '-',
    JSON.stringify(details),
  ]);
  return columns([['TIME', 'EVENT', 'BY', 'ADDRESS', 'DETAILS'], ...rows]);
}

function renderPeriods(title: string, periods: ApiKeyUsage['days']): string {
  if (periods.length === 0) return `No requests by ${title.toLowerCase()}.`;
  return columns([
    [title, 'REQUESTS', 'RATE LIMITED'],
    ...periods.map(({ startsAt, requests, limited }) => [
      dateOr(startsAt, ''),
      String(requests),
      String(limited),
    ]),
  ]);
}

/**
 * Aligns rows in columns. Each column has the width of its widest cell. Cells that other
 * applications wrote may contain line ends and escape codes of terminals.
 */
export function columns(cells: readonly (readonly string[])[]): string {
  const rows = cells.map((row) => row.map(printable));
  const widths = (rows[0] as readonly string[]).map((_, i) =>
    Math.max(...rows.map((row) => String(row[i]).length)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(Number(widths[i])))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.join(', ') || '-';
  if (isRecord(value)) return JSON.stringify(value);
  return value instanceof Date ? isoOf(value) : String(value ?? '-');
}

function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !(value instanceof Date);
}

function dateOr(date: Date | null, otherwise: string): string {
  return date
    ? isoOf(date)
        .replace('T', ' ')
        .replace(/:\d\d\.\d{3}Z$/, 'Z')
    : otherwise;
}

/** PostgreSQL can store years that a JavaScript Date cannot represent. */
function isoOf(date: Date): string {
  return Number.isNaN(date.getTime()) ? 'invalid' : date.toISOString();
}
