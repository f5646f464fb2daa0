import { type ChangeTrail, changeEvent } from '../audit/change-trail';
import type { Database } from '../database/database';
import { isOfRow, refuseUnavailable } from '../database/store-errors';
import type { Acting } from '../model/acting';
import { ApiKeyInputError } from '../model/api-key.errors';
import {
  type ImportedApiKey,
  type ImportProblem,
  importProblems,
  insertImported,
  linesRefused,
  type RefusedLine,
} from './import-keys';
import { LinesRefused, lockLimitedOwners, permittedLines } from './import-policy';
import type { KeyRules } from './key-rules';
import { lockImport } from './owner-lock';

/** `ImportedApiKey` objects. Any other line is reported with its number. */
export type ImportLines = Iterable<unknown> | AsyncIterable<unknown>;

/** Options of an import. */
export interface ImportOptions {
  /**
   * Lines per transaction, 1 to 10,000. With `policy.maxActiveKeys` at most 1,000. Default 1,000.
   */
  batchSize?: number;
  /** Called after each batch with the number of lines read so far. */
  onProgress?: (linesRead: number) => void;
}

/** The result of an import. */
export interface ImportReport {
  readonly lines: number;
  readonly imported: number;
  /** The first 1,000 problems of lines. A batch with a problem is not imported. */
  readonly problems: readonly ImportProblem[];
}

interface Importer {
  readonly database: Database;
  readonly changes: ChangeTrail;
  readonly catalogue: readonly string[] | null;
  readonly acting: Acting;
  readonly rules: KeyRules;
}

const DEFAULT_BATCH_SIZE = 1_000;
const MAX_BATCH_SIZE = 10_000;
/** Each owner of a batch takes a lock, and the shared memory of PostgreSQL has room for few. */
const MAX_LOCKED_BATCH_SIZE = 1_000;
const MAX_PROBLEMS = 1_000;

/**
 * Imports lines in batches. A batch is imported completely or not at all. Only one batch is in
 * memory.
 */
export async function importInBatches(
  lines: ImportLines,
  { batchSize = DEFAULT_BATCH_SIZE, onProgress = () => {} }: ImportOptions,
  importer: Importer,
): Promise<ImportReport> {
  if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > MAX_BATCH_SIZE)
    throw new ApiKeyInputError([`batchSize must be a whole number from 1 to ${MAX_BATCH_SIZE}`]);
  let [read, imported] = [0, 0];
  const problems: ImportProblem[] = [];
  const isLimited = importer.rules.policy.maxActiveKeys !== null;
  const size = isLimited ? Math.min(batchSize, MAX_LOCKED_BATCH_SIZE) : batchSize;
  for await (const batch of batchesOf(lines, size)) {
    const found = await importBatch(batch, read, importer);
    if (found.length === 0) imported += batch.length;
    problems.push(...found.slice(0, MAX_PROBLEMS - problems.length));
    read += batch.length;
    onProgress(read);
  }
  return { lines: read, imported, problems };
}

/** Imports one batch. Returns the problems of its lines if the batch was not imported. */
async function importBatch(
  batch: readonly unknown[],
  before: number,
  importer: Importer,
): Promise<ImportProblem[]> {
  const wrong = batch.flatMap((line, i) =>
    importProblems(line, importer.catalogue, importer.rules.forms).map((problem) => ({
      line: before + i + 1,
      problem,
    })),
  );
  if (wrong.length > 0) return wrong;
  const rows = batch as readonly ImportedApiKey[];
  try {
    await insertBatch(rows, importer);
    return [];
  } catch (error) {
    if (error instanceof LinesRefused) return atLines(error.lines, before);
    return problemsOfStore(rows, before, error, importer);
  }
}

async function insertBatch(
  rows: readonly ImportedApiKey[],
  { changes, acting, rules }: Importer,
): Promise<void> {
  await changes.make(async (session) => {
    const context = { session, table: session.tables.keys, rules };
    await lockLimitedOwners(context, rows);
    await lockImport(context);
    const inserted = await insertImported(session, await permittedLines(context, rows), rules.derive);
    return { result: null, events: inserted.map((apiKey) => changeEvent('imported', apiKey, acting, {})) };
  });
}

/**
 * Returns the lines that the database refuses. An error that is not about a row is a failure of the
 * database, and ends the import.
 */
async function problemsOfStore(
  rows: readonly ImportedApiKey[],
  before: number,
  error: unknown,
  { database }: Importer,
): Promise<ImportProblem[]> {
  if (!isOfRow(error)) return refuseUnavailable(error);
  const refused = await database
    .transaction((session) => linesRefused(session, rows), {
      isTrial: true,
      turn: { kind: 'change', lanes: [] },
    })
    .catch(refuseUnavailable);
  return atLines(refused, before);
}

function atLines(refused: readonly RefusedLine[], before: number): ImportProblem[] {
  const problems = refused.map(({ index, reason }) => ({ line: before + index + 1, problem: reason }));
  return problems.sort((one, other) => one.line - other.line);
}

async function* batchesOf(lines: ImportLines, size: number): AsyncGenerator<unknown[]> {
  let batch: unknown[] = [];
  for await (const line of lines) {
    batch.push(line);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
