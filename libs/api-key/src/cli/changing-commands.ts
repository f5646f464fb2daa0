import { describeKey, type HeldScope, type Quota, type RateLimit, type UpdateApiKeyInput } from '../index';
import { noSuchKey, noSuchUser, WrongCall } from './failures';
import type { KeysCliHost, KeysSession } from './host';
import { openImportFile } from './import-file';
import { acting, inSession, namesOwner, type OwnerOptions, ownerOf } from './in-session';
import { type Output, write, writeIssued, writeKey, writeReport, writeRevocation } from './output';
import { progressOn } from './progress';
import { stdinOf } from './read-key';
import { renderTable } from './render';

export interface CreateOptions extends Output, OwnerOptions {
  readonly name: string;
  readonly scopes: HeldScope[];
  /** Milliseconds from now; false: never. If missing, the policy of the app decides. */
  readonly expiresIn?: number | false;
  readonly rateLimit?: RateLimit;
  readonly quota?: Quota;
  readonly allowIp?: string[];
  readonly environment?: string;
}

/** A missing field stays unchanged. The value false removes a limit or restriction. */
export interface UpdateOptions extends Output {
  readonly name?: string;
  readonly scopes?: HeldScope[];
  /** Milliseconds from now. */
  readonly expiresIn?: number | false;
  readonly rateLimit?: RateLimit | false;
  readonly quota?: Quota | false;
  readonly allowIp?: string[] | false;
}

export interface RotateOptions extends Output {
  /** Seconds. */
  readonly overlap: number;
}

export interface RevokeOptions extends Output, OwnerOptions {
  readonly descendants?: boolean;
  readonly reason?: string;
}

/** Options of `disable` and `enable`. */
export interface SwitchOptions extends Output {
  readonly reason?: string;
}

export interface PruneOptions extends Output {
  /** Days. */
  readonly olderThan: number;
  /** Days. */
  readonly eventsOlderThan: number;
}

export interface ImportOptions extends Output {
  readonly file: string;
}

export async function createKey(host: KeysCliHost, options: CreateOptions): Promise<void> {
  if (!namesOwner(options)) throw new WrongCall('give the owner, by --user <email> or --user-id <id>.');
  await inSession(host, async (session) => {
    const { keys } = session;
    const { name, scopes, environment, expiresIn, rateLimit = null, quota = null, allowIp = null } = options;
    const expiresAt = expiryIn(expiresIn);
    const fields = { name, scopes, environment, expiresAt, rateLimit, quota, allowedIps: allowIp };
    keys.check(fields);
    const userId = await ownerOfNew(host, session, options);
    writeIssued(host, options, await keys.create({ userId, ...fields }, acting()));
  });
}

/** Finds or creates the owner. Says so if it is created, because the address may be misspelt. */
async function ownerOfNew(host: KeysCliHost, session: KeysSession, options: CreateOptions): Promise<string> {
  const { user, userId, json } = options;
  if (user === undefined) return String(userId);
  const known = await session.findOwner(user, { create: false });
  if (known !== null) return known;
  const created = await session.findOwner(user, { create: true });
  if (created === null) throw noSuchUser(user);
  if (!json) host.stderr.write(`There was no user ${user}, so the user was created.\n`);
  return created;
}

export function updateKey(host: KeysCliHost, id: string, options: UpdateOptions): Promise<void> {
  const changes = changesOf(options);
  if (Object.keys(changes).length === 0)
    throw new WrongCall('nothing to change. Give at least one option, such as --scopes or --expires-in.');
  return inSession(host, async ({ keys }) => {
    const apiKey = await keys.update(id, changes, acting());
    if (!apiKey) throw noSuchKey(id);
    writeKey(host, options, apiKey);
  });
}

function changesOf({ name, scopes, expiresIn, rateLimit, quota, allowIp }: UpdateOptions): UpdateApiKeyInput {
  const changes = { name, scopes, expiresAt: expiryIn(expiresIn), rateLimit, quota, allowedIps: allowIp };
  const given = Object.entries(changes).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given.map(([field, value]) => [field, value === false ? null : value]));
}

/** @param ms false: never; undefined: not given */
function expiryIn(ms: number | false | undefined): Date | null | undefined {
  if (ms === undefined) return undefined;
  return ms === false ? null : new Date(Date.now() + ms);
}

export function rotateKey(host: KeysCliHost, id: string, options: RotateOptions): Promise<void> {
  return inSession(host, async ({ keys }) => {
    const issued = await keys.rotate(id, { overlapSeconds: options.overlap }, acting());
    if (!issued) throw noSuchKey(id);
    writeIssued(host, options, issued, endOfOld(id, options.overlap));
  });
}

function endOfOld(id: string, overlapSeconds: number): string {
  if (overlapSeconds === 0) return `Key ${id} has ended.`;
  const end = new Date(Date.now() + overlapSeconds * 1_000).toISOString();
  return `Key ${id} is accepted until ${end} at the latest. To end it now: revoke ${id}`;
}

/** Revokes one key, or all keys of a user. */
export async function revoke(
  host: KeysCliHost,
  id: string | undefined,
  options: RevokeOptions,
): Promise<void> {
  const { descendants = false } = options;
  if ((id === undefined) !== namesOwner(options))
    throw new WrongCall(
      'give either the id of one key, or --user <email> or --user-id <id> for all keys of a user.',
    );
  if (id !== undefined) return revokeKey(host, id, options);
  if (descendants)
    throw new WrongCall(
      '--descendants needs the id of a key. --user and --user-id revoke all keys of the user anyway.',
    );
  return revokeUser(host, options);
}

function revokeKey(host: KeysCliHost, id: string, options: RevokeOptions): Promise<void> {
  return inSession(host, async ({ keys }) => {
    const { descendants = false } = options;
    const how = { everywhere: true, descendants, ...reasonOf(options) };
    const revocation = await keys.revoke(id, how, acting());
    if (!revocation) throw noSuchKey(id);
    writeRevocation(host, options, id, revocation);
  });
}

function revokeUser(host: KeysCliHost, options: RevokeOptions): Promise<void> {
  return inSession(host, async (session) => {
    const userId = await ownerOf(session, options);
    const revoked = await session.keys.revokeAll(
      { userId, everywhere: true, ...reasonOf(options) },
      acting(),
    );
    const described = revoked.map((apiKey) => describeKey(apiKey, new Date()));
    write(host, options, described, () => renderTable(described));
  });
}

export function disableKey(host: KeysCliHost, id: string, options: SwitchOptions): Promise<void> {
  return inSession(host, async ({ keys }) => {
    const apiKey = await keys.disable(id, { everywhere: true, ...reasonOf(options) }, acting());
    if (!apiKey) throw noSuchKey(id);
    writeKey(host, options, apiKey);
  });
}

export function enableKey(host: KeysCliHost, id: string, options: SwitchOptions): Promise<void> {
  return inSession(host, async ({ keys }) => {
    const apiKey = await keys.enable(id, reasonOf(options), acting());
    if (!apiKey) throw noSuchKey(id);
    writeKey(host, options, apiKey);
  });
}

function reasonOf({ reason }: SwitchOptions) {
  return reason === undefined ? {} : { reason };
}

export function pruneKeys(host: KeysCliHost, options: PruneOptions): Promise<void> {
  return inSession(host, async ({ keys }) => {
    const progress = progressOn(host.stderr, 0, 'removed');
    const removed = await keys
      .prune(
        {
          olderThanDays: options.olderThan,
          eventsOlderThanDays: options.eventsOlderThan,
          onProgress: (gone) => progress.update(gone.keys + gone.events),
        },
        acting(),
      )
      .finally(() => progress.stop());
    write(host, options, removed, () => `Removed ${removed.keys} keys and ${removed.events} events.`);
  });
}

export async function importKeys(host: KeysCliHost, options: ImportOptions): Promise<void> {
  const file = await openImportFile(options.file, stdinOf(host)).catch((error: NodeJS.ErrnoException) => {
    throw new WrongCall(`cannot read the file ${options.file} (${error.code}).`);
  });
  await inSession(host, async ({ keys }) => {
    const progress = progressOn(host.stderr, file.size, 'the file');
    const report = await keys
      .import(file.lines, { onProgress: () => progress.update(file.bytesRead()) }, acting())
      .finally(() => progress.stop());
    writeReport(host, options, report);
  });
}
