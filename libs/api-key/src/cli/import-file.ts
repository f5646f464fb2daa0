import { createReadStream, type ReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';

/** Lines of a file, parsed, and how far they were read. */
export interface ImportFile {
  /** Each line as JSON; what is no JSON, as undefined. Blank lines at the end are left out. */
  readonly lines: AsyncIterable<unknown>;
  /** In bytes; 0 where it is unknown. */
  readonly size: number;
  bytesRead(): number;
}

/** Opens a file of JSON lines; `-` is stdin. @throws Error where it cannot be read */
export async function openImportFile(path: string): Promise<ImportFile> {
  if (path === '-') return importFile(process.stdin, 0, () => 0);
  const file = await open(path);
  const { size } = await file.stat();
  const stream: ReadStream = createReadStream('', { fd: file });
  return importFile(stream, size, () => stream.bytesRead);
}

function importFile(input: NodeJS.ReadableStream, size: number, bytesRead: () => number): ImportFile {
  return { lines: linesOf(input), size, bytesRead };
}

/** Reads only once it is iterated: lines that come before would be lost. */
async function* linesOf(input: NodeJS.ReadableStream): AsyncGenerator<unknown> {
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  for await (const line of lines) yield parse(line);
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
