/** A command that cannot be carried out, in words for a person. */
export class CommandFailed extends Error {}

/** A command that was called wrongly, which shows only when it is carried out. */
export class WrongCall extends Error {}

/** An id that stands for no key. */
export function noSuchKey(id: string): CommandFailed {
  return new CommandFailed(`There is no key ${id}.`);
}
