import { userInfo } from 'node:os';
import type { Acting } from '../index';
import { noSuchUser, WrongCall } from './failures';
import type { KeysCliHost, KeysSession } from './host';

/** Opens a session for one command, and closes the session afterwards. */
export async function inSession(
  host: KeysCliHost,
  command: (session: KeysSession) => Promise<void>,
): Promise<void> {
  const session = await host.open();
  try {
    await command(session);
  } finally {
    await session.close();
  }
}

/** The actor for the audit trail: the account of the operating system. */
export function acting(): Acting {
  return { actor: { type: 'cli', id: accountName() } };
}

function accountName(): string | null {
  try {
    return userInfo().username;
  } catch {
    return null;
  }
}

/** How a command names an owner. */
export interface OwnerOptions {
  /** Email address. */
  readonly user?: string;
  readonly userId?: string;
}

/**
 * Whether an owner is named.
 * @throws WrongCall if an owner is named in both ways
 */
export function namesOwner({ user, userId }: OwnerOptions): boolean {
  if (user !== undefined && userId !== undefined)
    throw new WrongCall('give --user <email> or --user-id <id>, not both.');
  return user !== undefined || userId !== undefined;
}

/** @throws CommandFailed if there is no user with this email address */
export async function ownerOf(session: KeysSession, { user = '', userId }: OwnerOptions): Promise<string> {
  if (userId !== undefined) return userId;
  const found = await session.findOwner(user, { create: false });
  if (found === null) throw noSuchUser(user);
  return found;
}
