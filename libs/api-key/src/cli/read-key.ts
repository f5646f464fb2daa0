import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { WrongCall } from './failures';
import type { KeysCliHost } from './host';

/** More than any key has. */
const MAX_BYTES = 65_536;

/** The standard input of a command. */
export function stdinOf({ stdin = process.stdin }: KeysCliHost): NodeJS.ReadableStream {
  return stdin;
}

/**
 * Reads one raw key from standard input. A terminal gets a prompt and does not show what is typed.
 * @throws WrongCall if the input is empty, cannot be read, or has several lines
 */
export async function readKey(host: KeysCliHost): Promise<string> {
  const { program = 'keys' } = host;
  const stdin = stdinOf(host);
  const how = `Pipe one key, such as: ${program} check < key.txt`;
  const text = 'isTTY' in stdin && stdin.isTTY ? await typed(stdin, host.stderr) : await piped(stdin);
  const key = text.trim();
  if (key === '') throw new WrongCall(`standard input has no key. ${how}`);
  if (/[\r\n]/.test(key)) throw new WrongCall(`standard input has more than one line. ${how}`);
  return key;
}

/** `trim` also removes a byte order mark, which editors on Windows write. */
async function piped(stdin: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of stdin) {
      chunks.push(Buffer.from(chunk));
      bytes += chunk.length;
      if (bytes > MAX_BYTES) throw new WrongCall('standard input is longer than any key.');
    }
  } catch (error) {
    if (error instanceof WrongCall) throw error;
    throw new WrongCall(`cannot read standard input (${(error as NodeJS.ErrnoException).code}).`);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The key stays out of the terminal, because readline writes what is typed to its own output. */
async function typed(stdin: NodeJS.ReadableStream, stderr: NodeJS.WritableStream): Promise<string> {
  const nowhere = new Writable({ write: (_text, _encoding, done) => done() });
  const terminal = createInterface({ input: stdin, output: nowhere, terminal: true });
  stderr.write('Key (not shown): ');
  return new Promise((resolve) => {
    let line = '';
    terminal.once('line', (text) => {
      line = text;
      terminal.close();
    });
    terminal.once('SIGINT', () => terminal.close());
    terminal.once('close', () => {
      stderr.write('\n');
      resolve(line);
    });
  });
}
