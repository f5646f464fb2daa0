import {
  type ApiKey,
  describeKey,
  type ImportReport,
  type IssuedApiKey,
  printable,
  type Revocation,
} from '../index';
import { CommandFailed, oneLine } from './failures';
import type { KeysCliHost } from './host';
import { renderKey, renderTable } from './render';

/** How a result is printed. */
export interface Output {
  /** Print one JSON document instead of text. */
  readonly json?: boolean;
}

const SHOWN_ONCE = 'The key is shown only once. Store it in a safe place.';

/** Writes a result to stdout. */
export function write(host: KeysCliHost, { json }: Output, value: unknown, render: () => string): void {
  host.stdout.write(`${json ? JSON.stringify(value, null, 2) : render()}\n`);
}

export function writeKey(host: KeysCliHost, output: Output, apiKey: ApiKey): void {
  const described = describeKey(apiKey, new Date());
  write(host, output, described, () => renderKey(described));
}

/** Writes a new key, including the raw key. @param note a further sentence for people */
export function writeIssued(
  host: KeysCliHost,
  output: Output,
  { key, apiKey }: IssuedApiKey,
  note = '',
): void {
  const described = { ...describeKey(apiKey, new Date()), key };
  write(host, output, described, () => `${renderKey(described)}\n\n${SHOWN_ONCE}${note && `\n${note}`}`);
}

/** Writes the revoked keys, and how many descendants are still accepted. */
export function writeRevocation(
  host: KeysCliHost,
  output: Output,
  id: string,
  { apiKey, descendants, liveDescendants }: Revocation,
): void {
  const now = new Date();
  const key = apiKey ? describeKey(apiKey, now) : { id, state: 'gone' as const };
  const ended = descendants.map((descendant) => describeKey(descendant, now));
  write(host, output, { ...key, descendants: ended, liveDescendants }, () => {
    const shown = apiKey ? renderKey(describeKey(apiKey, now)) : `The row of key ${id} was deleted.`;
    if (liveDescendants === null)
      return `${shown}\n\nThe keys that this key created could not be counted. To revoke them too: revoke ${id} --descendants`;
    if (liveDescendants > 0)
      return `${shown}\n\nKeys created by this key that are still accepted: ${liveDescendants}. To revoke them too: revoke ${id} --descendants`;
    return ended.length === 0 ? shown : `${shown}\n\nAlso revoked:\n${renderTable(ended)}`;
  });
}

/**
 * Writes the result of an import. Each problem is one line on stderr.
 * @throws CommandFailed if any line was not imported
 */
export function writeReport(host: KeysCliHost, output: Output, report: ImportReport): void {
  const { lines, imported, problems } = report;
  write(host, output, report, () => `Imported ${imported} of ${lines} keys.`);
  for (const { line, problem } of problems)
    host.stderr.write(`line ${line}: ${printable(oneLine(problem))}\n`);
  if (imported < lines)
    throw new CommandFailed(`${lines - imported} lines were not imported: their batches were rolled back.`);
}
