import { digestKey } from '../credential/digest';
import type { KeyForms } from '../credential/key-forms';
import { API_KEY_COLUMNS, apiKeyFromRow, type DeriveFields } from '../database/api-key.row';
import { codeOf } from '../database/error-codes';
import type { Session } from '../database/session';
import { isTooMuch, NO_OWNER, TOO_MUCH, UNFIT_OWNER } from '../database/store-errors';
import type { ApiKey } from '../model/api-key.entity';
import { nameProblems, scopesProblems } from './field-problems';
import { KeyNotWritten } from './key-not-written';
import { LAST_EXPIRY_MS } from './last-expiry';

/** A key of another system. Has the digest of the key, never the raw key. */
export interface ImportedApiKey {
  /** The owner, as stored in column `user_id`. */
  userId: string;
  name: string;
  /** SHA-256 of the whole key, 64 lower-case hex digits. */
  keyDigest: string;
  /** The start of the key that people may see, 1 to 40 characters. */
  keyPrefix: string;
  scopes?: readonly string[];
  /** Expiry in ISO 8601 with its zone, also in the past; null or omitted: never. */
  expiresAt?: string | null;
}

/** A line that was not imported, and the reason. The first line is line 1. */
export interface ImportProblem {
  readonly line: number;
  readonly problem: string;
}

/** SQLSTATEs of a value that does not fit the type of `user_id`. Other columns take any text. */
const NO_SUCH_VALUE = ['22P02', '22003'];
const FIELDS = ['userId', 'name', 'keyDigest', 'keyPrefix', 'scopes', 'expiresAt'];
const DIGEST = /^[0-9a-f]{64}$/;
const PREFIX = /^[\x21-\x7e]{1,40}$/;
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)$/;

/** Returns the problems of a line; empty if the line is valid. */
export function importProblems(
  line: unknown,
  catalogue: readonly string[] | null,
  forms: KeyForms,
): string[] {
  if (Object.prototype.toString.call(line) !== '[object Object]') return ['the line is not a JSON object'];
  const {
    userId,
    name,
    keyDigest,
    keyPrefix,
    scopes = [],
    expiresAt = null,
  } = line as Record<string, unknown>;
  const unknown = Object.keys(line as object).filter((field) => !FIELDS.includes(field));
  return [
    ...unknown.map((field) => `${JSON.stringify(field)} is not a field; the fields are ${FIELDS.join(', ')}`),
    ...when(
      typeof userId !== 'string' || userId.trim() !== userId || userId === '',
      'userId must be the id of the owner, as text',
    ),
    ...nameProblems(name),
    ...when(
      typeof keyDigest !== 'string' || !DIGEST.test(keyDigest),
      'keyDigest must be 64 lower-case hex digits',
    ),
    ...startProblems(keyPrefix, forms),
    ...when(isKeyItself(keyPrefix, keyDigest), 'keyPrefix is the whole key, which must not be stored'),
    ...scopesProblems(scopes, catalogue),
    ...when(
      expiresAt !== null && !isTime(expiresAt),
      'expiresAt must be a time in ISO 8601 with its zone, or null',
    ),
  ];
}

/**
 * Inserts checked lines in one statement: all of them or none.
 * @throws KeyNotWritten if PostgreSQL inserts fewer rows than lines
 */
export async function insertImported(
  session: Session,
  lines: readonly ImportedApiKey[],
  derive: DeriveFields,
): Promise<ApiKey[]> {
  const rows = lines.map(({ userId, name, keyDigest, keyPrefix, scopes = [], expiresAt = null }) => ({
    user_id: userId,
    name,
    key_digest: keyDigest,
    key_prefix: keyPrefix,
    scopes,
    expires_at: expiresAt,
  }));
  const { keys: table } = session.tables;
  const inserted = await session.rows(
    `INSERT INTO ${table} (user_id, name, key_digest, key_prefix, scopes, expires_at, created_at, updated_at)
     SELECT user_id, name, key_digest, key_prefix, scopes, expires_at, now(), now()
     FROM jsonb_populate_recordset(NULL::${table}, $1::jsonb) RETURNING ${API_KEY_COLUMNS}`,
    [JSON.stringify(rows)],
  );
  if (inserted.length !== rows.length) throw new KeyNotWritten('inserts');
  return inserted.map((row) => apiKeyFromRow(row, derive));
}

/** A line that the database refuses, and the reason. */
export interface RefusedLine {
  readonly index: number;
  readonly reason: string;
}

/**
 * Returns the lines of a failed batch that the database refuses. Inserts the lines one by one, so
 * the caller must roll the transaction back.
 */
export async function linesRefused(
  session: Session,
  lines: readonly ImportedApiKey[],
): Promise<RefusedLine[]> {
  const refused: RefusedLine[] = [];
  for (const [index, line] of lines.entries()) {
    await session.run('SAVEPOINT one_line');
    try {
      await insertImported(session, [line], () => {});
      await session.run('RELEASE SAVEPOINT one_line');
    } catch (error) {
      await session.run('ROLLBACK TO SAVEPOINT one_line');
      refused.push({ index, reason: reasonOf(error) });
    }
  }
  return refused;
}

/** The message of PostgreSQL is not returned, because it may contain the digest. */
function reasonOf(error: unknown): string {
  const code = codeOf(error);
  if (code === '23505') return 'a key with this keyDigest already exists';
  if (code === '23503') return NO_OWNER;
  if (NO_SUCH_VALUE.includes(code)) return UNFIT_OWNER;
  if (isTooMuch(error)) return TOO_MUCH;
  return 'it violates a constraint of table api_keys';
}

function when(holds: boolean, text: string): string[] {
  return holds ? [text] : [];
}

function isTime(value: unknown): boolean {
  return typeof value === 'string' && ISO_TIME.test(value) && Date.parse(value) <= LAST_EXPIRY_MS;
}

function isKeyItself(prefix: unknown, digest: unknown): boolean {
  return typeof prefix === 'string' && digestKey(prefix) === digest;
}

function startProblems(keyPrefix: unknown, forms: KeyForms): string[] {
  if (typeof keyPrefix !== 'string' || !PREFIX.test(keyPrefix))
    return ['keyPrefix must have 1 to 40 visible ASCII characters'];
  const starts = forms.accepted.prefixes.map((prefix) => `${prefix}_`).join(', ');
  return when(
    !forms.mayStart(keyPrefix),
    `keyPrefix must be hex digits, or start with an accepted prefix and "_": ${starts}`,
  );
}
