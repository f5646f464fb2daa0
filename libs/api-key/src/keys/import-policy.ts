import { number, text } from '../database/fields';
import { EQUALS } from '../database/own-names';
import { ApiKeyPolicyError } from '../model/api-key.errors';
import { countsAsActive, tooManyKeys } from './active-keys';
import type { ImportedApiKey, RefusedLine } from './import-keys';
import type { KeyChange } from './key-change';
import { lockOwners } from './owner-lock';
import { expiryOfNew, permittedEnd } from './policy';
import { creationTime } from './policy-clock';

type Context = Pick<KeyChange, 'session' | 'table' | 'rules'>;

/** Option `policy` refuses lines of a batch. */
export class LinesRefused extends Error {
  constructor(readonly lines: readonly RefusedLine[]) {
    super('the policy refuses lines of the import');
  }
}

/** Locks the owners of the lines, if the policy limits their keys. */
export async function lockLimitedOwners(context: Context, lines: readonly ImportedApiKey[]): Promise<void> {
  if (context.rules.policy.maxActiveKeys !== null) await lockOwners(context, ownersIn(lines));
}

/**
 * Returns the lines with the expiry that the policy gives them.
 * @throws LinesRefused if the policy does not allow one of them
 */
export async function permittedLines(
  context: Context,
  lines: readonly ImportedApiKey[],
): Promise<readonly ImportedApiKey[]> {
  const now = await creationTime(context);
  const refused: RefusedLine[] = [];
  const permitted = lines.map((line, index) => {
    try {
      return { ...line, expiresAt: expiryOf(line, now, context) };
    } catch (error) {
      if (!(error instanceof ApiKeyPolicyError)) throw error;
      refused.push({ index, reason: error.message });
      return line;
    }
  });
  refused.push(...(await linesTooMany(context, permitted, now)));
  if (refused.length > 0) throw new LinesRefused(refused);
  return permitted;
}

/** A time is kept as it was written, unless the policy changes it. */
function expiryOf({ expiresAt }: ImportedApiKey, now: Date, { rules: { policy } }: Context): string | null {
  if (expiresAt == null) return expiryOfNew(expiresAt, null, now, policy)?.toISOString() ?? null;
  const asked = new Date(expiresAt);
  const permitted = permittedEnd(asked, now, policy);
  return permitted === asked ? expiresAt : permitted.toISOString();
}

/** Returns the lines that would give their owner too many active keys, in the order of the file. */
async function linesTooMany(
  context: Context,
  lines: readonly ImportedApiKey[],
  now: Date,
): Promise<RefusedLine[]> {
  const { maxActiveKeys } = context.rules.policy;
  if (maxActiveKeys === null) return [];
  const owners = await ownersOf(context, lines);
  const active = await countActive(context, lines, maxActiveKeys);
  const refused: RefusedLine[] = [];
  for (const [index, { expiresAt }] of lines.entries()) {
    if (expiresAt != null && new Date(expiresAt) <= now) continue;
    const owner = owners[index] ?? '';
    const count = active.get(owner) ?? 0;
    if (count >= maxActiveKeys) refused.push({ index, reason: tooManyKeys(maxActiveKeys).message });
    else active.set(owner, count + 1);
  }
  return refused;
}

/** Returns the owner of each line in the spelling that column `user_id` stores. */
async function ownersOf({ session, table }: Context, lines: readonly ImportedApiKey[]): Promise<string[]> {
  const rows = await session.rows(
    `SELECT user_id::text AS owner
     FROM jsonb_populate_recordset(NULL::${table}, $1::jsonb) WITH ORDINALITY AS line ORDER BY line.ordinality`,
    [ownersIn(lines)],
  );
  return rows.map((row) => text(row, 'owner'));
}

/** Counts the active keys of each owner, at most `limit` of each. */
async function countActive(
  { session, table, rules }: Context,
  lines: readonly ImportedApiKey[],
  limit: number,
): Promise<Map<string, number>> {
  const rows = await session.rows(
    `SELECT o.user_id::text AS owner, c.active::text AS active
     FROM (SELECT DISTINCT user_id FROM jsonb_populate_recordset(NULL::${table}, $1::jsonb)) AS o
     CROSS JOIN LATERAL (SELECT count(*) AS active
       FROM (SELECT FROM ${table} k WHERE k.user_id ${EQUALS} o.user_id AND ${countsAsActive(rules.policy)} LIMIT $2) AS counted) AS c`,
    [ownersIn(lines), limit],
  );
  return new Map(rows.map((row) => [text(row, 'owner'), number(row, 'active')]));
}

function ownersIn(lines: readonly ImportedApiKey[]): string {
  return JSON.stringify(lines.map(({ userId }) => ({ user_id: userId })));
}
