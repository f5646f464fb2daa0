import { userInfo } from 'node:os';
import type { Acting } from '../index';
import { CommandFailed } from './failures';
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

/** @throws CommandFailed if the user does not exist */
export async function ownerOf(
  session: KeysSession,
  email: string,
  options: { readonly create: boolean },
): Promise<string> {
  const userId = await session.findOwner(email, options);
  if (userId === null) throw new CommandFailed(`There is no user ${email}.`);
  return userId;
}
