import { createReadStream, type ReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { WrongCall } from './failures';

/** The parsed lines of a file, and how much of the file was read. */
export interface ImportFile {
  /** The JSON value of each line, or undefined if a line is not JSON. */
  readonly lines: AsyncIterable<unknown>;
  /** Size of the file in bytes; 0 if the size is unknown. */
  readonly size: number;
  bytesRead(): number;
}

/**
 * Opens a file of JSON lines; `-` is `stdin`.
 * @throws Error with a code if the file cannot be read
 */
export async function openImportFile(path: string, stdin: NodeJS.ReadableStream): Promise<ImportFile> {
  if (path === '-') return importFile(stdin, 0, () => 0);
  const file = await open(path);
  const { size } = await file.stat();
  const stream: ReadStream = createReadStream('', { fd: file });
  return importFile(stream, size, () => stream.bytesRead);
}

function importFile(input: NodeJS.ReadableStream, size: number, bytesRead: () => number): ImportFile {
  return { lines: linesOf(input), size, bytesRead };
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Creates the reader only when the iteration starts, because lines that are read earlier would be
 * lost. Reads lines as bytes, because a decoder of the whole file replaces what is not UTF-8. Blank
 * lines at the end of the file are not lines of the import.
 */
async function* linesOf(input: NodeJS.ReadableStream): AsyncGenerator<unknown> {
  input.setEncoding('latin1');
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  let blank = 0;
  let isFirst = true;
  for await (const bytes of lines) {
    if (isFirst) refuseOtherFormats(bytes);
    isFirst = false;
    const line = decoded(bytes);
    if (line?.trim() === '') {
      blank += 1;
      continue;
    }
    for (; blank > 0; blank--) yield undefined;
    yield line === null ? undefined : parse(line);
  }
}

/** UTF-16 in both byte orders, with and without a mark. */
const UTF16 = /^(?:\xff\xfe|\xfe\xff|\0[[{]|[[{]\0)/;
const JSON_ARRAY = /^(?:\xef\xbb\xbf)?\s*\[/;

/**
 * @param bytes of the first line
 * @throws WrongCall if the file has another format, which makes each of its lines wrong
 */
function refuseOtherFormats(bytes: string): void {
  if (UTF16.test(bytes))
    throw new WrongCall('the file is UTF-16. Save it as UTF-8, in PowerShell with: Out-File -Encoding utf8');
  if (JSON_ARRAY.test(bytes))
    throw new WrongCall(
      "the file is a JSON array. Write one object on each line, without commas between them: jq -c '.[]'",
    );
}

/** @returns null if a line is not UTF-8 */
function decoded(bytes: string): string | null {
  try {
    return UTF8.decode(Buffer.from(bytes, 'latin1'));
  } catch {
    return null;
  }
}

/** `trim` also removes a byte order mark, which editors on Windows write. */
function parse(line: string): unknown {
  try {
    return JSON.parse(line.trim());
  } catch {
    return undefined;
  }
}
