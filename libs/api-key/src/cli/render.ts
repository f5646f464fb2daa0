import type { ApiKeyDescription, ApiKeyUsage, RecordedApiKeyEvent } from '../index';

/** Keys as a table, a line each, or a sentence where there are none. */
export function renderTable(keys: readonly ApiKeyDescription[]): string {
  if (keys.length === 0) return 'No keys.';
  const head = ['ID', 'USER', 'NAME', 'KEY', 'STATE', 'SCOPES', 'EXPIRES', 'LAST USED'];
  const rows = keys.map((key) => [
    key.id,
    key.userId,
    printable(key.name),
    key.masked,
    key.state,
    printable(key.scopes.join(',')) || '-',
    dateOr(key.expiresAt, 'never'),
    dateOr(key.lastUsedAt, 'never'),
  ]);
  return columns([head, ...rows]);
}

/** One key, a line each field. */
export function renderKey(key: ApiKeyDescription): string {
  const fields = Object.entries(key).map(([name, value]): [string, string] => [name, textOf(value)]);
  return fields.map(([name, value]) => `${name.padEnd(12)}${value}`).join('\n');
}

/** How much a key is used: its quota, then a line each day and each hour. */
export function renderUsage({ quota, hours, days }: ApiKeyUsage): string {
  const spent = quota
    ? `Quota: ${quota.used} of ${quota.limit} this ${quota.period}, anew ${dateOr(quota.resetsAt, 'never')}`
    : 'Quota: none';
  return [spent, renderPeriods('DAY', days), renderPeriods('HOUR', hours)].join('\n\n');
}

/** What happened to a key, newest first, a line each. */
export function renderEvents(events: readonly RecordedApiKeyEvent[]): string {
  const rows = events.map(({ at, type, actor, address, details }) => [
    isoOf(at),
    type,
    printable(actor.id === null ? actor.type : `${actor.type} ${actor.id}`),
    printable(address ?? '-'),
    printable(JSON.stringify(details)),
  ]);
  return columns([['TIME', 'EVENT', 'BY', 'ADDRESS', 'DETAILS'], ...rows]);
}

function renderPeriods(title: string, periods: ApiKeyUsage['days']): string {
  if (periods.length === 0) return `No requests by ${title.toLowerCase()}.`;
  return columns([
    [title, 'REQUESTS', 'OF THEM LIMITED'],
    ...periods.map(({ startsAt, requests, limited }) => [
      dateOr(startsAt, ''),
      String(requests),
      String(limited),
    ]),
  ]);
}

/** Rows one below the other, each column as wide as its widest cell. */
function columns(rows: readonly (readonly string[])[]): string {
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
  if (Array.isArray(value)) return printable(value.join(', ')) || '-';
  if (isRecord(value)) return printable(JSON.stringify(value));
  return value instanceof Date ? isoOf(value) : printable(String(value ?? '-'));
}

function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !(value instanceof Date);
}

/** Rows of other applications may hold line ends and codes that drive a terminal. */
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, '\ufffd');
}

function dateOr(date: Date | null, otherwise: string): string {
  return date
    ? isoOf(date)
        .replace('T', ' ')
        .replace(/:\d\d\.\d{3}Z$/, 'Z')
    : otherwise;
}

/** PostgreSQL knows years that JavaScript does not. */
function isoOf(date: Date): string {
  return Number.isNaN(date.getTime()) ? 'invalid' : date.toISOString();
}
