import { printableLines } from '../index';
import type { KeysCliHost } from './host';

/** The streams that print without escapes, by the streams that this module gives to commands. */
const raw = new WeakMap<NodeJS.WritableStream, NodeJS.WritableStream>();

/**
 * A host whose streams show control and format characters as escapes. Names of keys and texts of
 * errors may contain characters that move the cursor or reverse a line. All output of commands goes
 * through these streams, also JSON, whose value stays the same.
 */
export function printableHost(host: KeysCliHost): KeysCliHost {
  return { ...host, stdout: printableStream(host.stdout), stderr: printableStream(host.stderr) };
}

/** The stream of the terminal itself, for a progress bar, which moves the cursor. */
export function rawStream(stream: NodeJS.WritableStream): NodeJS.WritableStream {
  return raw.get(stream) ?? stream;
}

function printableStream(stream: NodeJS.WritableStream): NodeJS.WritableStream {
  const write = (text: string) => stream.write(printableLines(text));
  const printing: NodeJS.WritableStream = Object.create(stream, { write: { value: write } });
  raw.set(printing, stream);
  return printing;
}
