import type { KeysCliHost } from './host';
import { type ExitCode, runCommand } from './run';

export type { KeysCliHost, KeysSession } from './host';
export type { ExitCode } from './run';

/**
 * Runs one command. Never throws. A failure is printed as one line on stderr.
 * @param args the arguments after the name of the program
 */
export function runKeysCli(args: readonly string[], host: KeysCliHost): Promise<ExitCode> {
  return runCommand(args, host);
}
