/** A command failed. The message is written for the user. */
export class CommandFailed extends Error {}

/** The call of a command is wrong, but this shows only when the command runs. */
export class WrongCall extends Error {}

/** The error for an unknown key id. */
export function noSuchKey(id: string): CommandFailed {
  return new CommandFailed(`There is no key ${id}.`);
}
