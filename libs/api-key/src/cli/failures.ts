import { redactApiKeys } from '../index';
import type { KeysCliHost } from './host';

/** A command failed. The message is written for the user. */
export class CommandFailed extends Error {}

/** The call of a command is wrong, but this shows only when the command runs. */
export class WrongCall extends Error {}

/** The text of an error. Some have none, such as that of a host whose addresses all refuse. */
export function messageOf(error: unknown): string {
  const { message, errors } = Object(error);
  return message || (Array.isArray(errors) ? messageOf(errors[0]) : String(error));
}

/** The error for an unknown key id. */
export function noSuchKey(id: string): CommandFailed {
  return new CommandFailed(`There is no key ${id}.`);
}

/** The error for an unknown email address. */
export function noSuchUser(email: string): CommandFailed {
  return new CommandFailed(`There is no user ${email}.`);
}

/** The command that shows the help of a command, or of the whole program. */
export function helpOf({ program = 'keys' }: KeysCliHost, command?: string): string {
  return [program, command, '--help'].filter(Boolean).join(' ');
}

/**
 * The line for a wrong call.
 * @param help the command that shows the help
 */
export function errorLine(help: string, text: string): string {
  return `${oneLine(text.trim()).replace(/[^.]$/, '$&.')} Help: ${help}\n`;
}

/**
 * Joins the lines of a text with spaces. Masks keys, because a key may have been given as an
 * argument by mistake.
 */
export function oneLine(text: string): string {
  return redactApiKeys(text.replace(/\s*\n\s*/g, ' '));
}
