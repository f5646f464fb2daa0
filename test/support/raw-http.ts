import { connect } from 'node:net';

/** A response, parsed from its bytes. */
export interface RawResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly json: Record<string, unknown>;
}

/** Sends header lines byte by byte without changes. An HTTP library would normalize these lines. */
export async function rawGet(
  port: number,
  path: string,
  headerLines: readonly (string | Buffer)[] = [],
): Promise<RawResponse> {
  const lines = [`GET ${path} HTTP/1.1`, 'Host: localhost', 'Connection: close', ...headerLines];
  const bytes = Buffer.concat(lines.flatMap((line) => [Buffer.from(line), Buffer.from('\r\n')]));
  return parse(await exchange(port, Buffer.concat([bytes, Buffer.from('\r\n')])));
}

/** Sends bytes. Returns all received data after the server has closed the connection. */
export function exchange(port: number, request: Buffer | string): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => socket.write(request));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('end', () => resolve(Buffer.concat(chunks).toString('latin1')));
    socket.on('error', reject);
  });
}

function parse(response: string): RawResponse {
  const end = response.indexOf('\r\n\r\n');
  const [statusLine = '', ...lines] = response.slice(0, end).split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => [
      line.slice(0, line.indexOf(':')).toLowerCase(),
      line.slice(line.indexOf(':') + 1).trim(),
    ]),
  );
  const body = response.slice(end + 4);
  return { status: Number(statusLine.split(' ')[1]), headers, body, json: parseJson(body) };
}

function parseJson(body: string): Record<string, unknown> {
  try {
    return JSON.parse(body);
  } catch {
    return {};
  }
}
