import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type Socket } from 'node:net';
import { closeAfterBody } from '../src/lingering-close';
import { ADAPTERS } from './support/app';
import { createMigratedDatabase } from './support/database';
import { type Sample, startSample } from './support/sample';
import { until } from './support/until';

/** More than the buffers of both sockets hold, so that who sends it depends on being read. */
const BODY = Buffer.alloc(20_000_000, '{"item":"');
const CHUNK = Buffer.concat([
  Buffer.from(`${BODY.length.toString(16)}\r\n`),
  BODY,
  Buffer.from('\r\n0\r\n\r\n'),
]);

interface Exchange {
  readonly answer: string;
  readonly error: string | undefined;
}

/**
 * Sends all of a request, and reads no answer before: as callers do that write and read in turn.
 */
async function sendThenRead(port: number, head: readonly string[], body: Buffer): Promise<Exchange> {
  const socket = connect(port, '127.0.0.1').pause();
  let [answer, error] = ['', undefined as string | undefined];
  socket.on('data', (chunk) => (answer += chunk)).pause();
  socket.on('error', (failure) => (error = (failure as NodeJS.ErrnoException).code));
  socket.write(`${head.join('\r\n')}\r\n\r\n`);
  await isAnswered(socket);
  await new Promise((resolve) => socket.write(body, resolve));
  socket.resume();
  await until(() => error !== undefined || answer.includes('\r\n\r\n'));
  socket.destroy();
  return { answer: answer.split('\r\n')[0] ?? '', error };
}

/** Waits until the server may have answered; a caller that is late must not lose by it. */
const isAnswered = (socket: Socket) => once(socket, 'connect').then(() => new Promise(setImmediate));

const LENGTH = `Content-Length: ${BODY.length}`;
const CHUNKED = 'Transfer-Encoding: chunked';
const JSON_TYPE = 'Content-Type: application/json';
const OTHER_TYPE = 'Content-Type: application/octet-stream';

describe.each(ADAPTERS)('on %s, a caller that sends all of a long body before it reads', (adapter) => {
  let sample: Sample;

  beforeAll(async () => {
    sample = await startSample({ DATABASE_URL: await createMigratedDatabase(), HTTP_ADAPTER: adapter });
  });
  afterAll(() => sample?.stop());

  it.each<[string, number[], string, string, Buffer]>([
    ['that is too long', [413], '/orders', `${JSON_TYPE}\r\n${LENGTH}`, BODY],
    ['that is too long, in chunks', [413], '/orders', `${JSON_TYPE}\r\n${CHUNKED}`, CHUNK],
    ['of another type', [401, 415], '/orders', `${OTHER_TYPE}\r\n${LENGTH}`, BODY],
    ['of another type, in chunks', [401, 415], '/orders', `${OTHER_TYPE}\r\n${CHUNKED}`, CHUNK],
    ['to an unknown path', [404, 413], '/nowhere', `${OTHER_TYPE}\r\n${LENGTH}`, BODY],
    ['to an invalid path', [404, 413], '/%zz', `${OTHER_TYPE}\r\n${LENGTH}`, BODY],
  ])('%s is answered with one of %j and no reset, with or without Connection: close', async (_, statuses, path, headers, body) => {
    for (const connection of ['close', 'keep-alive']) {
      const head = [`POST ${path} HTTP/1.1`, 'Host: a', `Connection: ${connection}`, headers];
      const { answer, error } = await sendThenRead(sample.port, head, body);
      expect({ connection, error, answer }).toEqual({
        connection,
        error: undefined,
        answer: expect.stringMatching(new RegExp(`^HTTP/1\\.1 (?:${statuses.join('|')}) `)),
      });
    }
  });
});

it('a caller that never ends its body is disconnected after its answer', async () => {
  const server = createServer((_, response) => response.writeHead(413, { connection: 'close' }).end());
  closeAfterBody(server, 50);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n`);
  await until(() => socket.bytesRead > 0);
  const isOver = once(server, 'close');
  server.close();
  await isOver;
  socket.destroy();
});
