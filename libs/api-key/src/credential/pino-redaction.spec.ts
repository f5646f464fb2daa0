import { once } from 'node:events';
import { createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { mintKey } from './format';
import { pinoRedaction } from './pino-redaction';

const KEY = mintKey('checksummed', 'acme_live');
const HEX_KEY = mintKey('hex', 'key');
const FOREIGN = 'eyJhbGciOi.foreign-token';

/** What pino writes of what is logged. */
function logged(log: (logger: pino.Logger) => void, redact = pinoRedaction()): string {
  let lines = '';
  log(pino({ redact, level: 'trace' }, { write: (line) => (lines += line) }));
  return lines;
}

/** A request as Node has it at the server, and at the client. */
async function exchanged(authorization: string) {
  const server = createServer((_, response) => response.end()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const headers = { Authorization: authorization, 'X-API-Key': KEY };
  const sent = request({ port, host: '127.0.0.1', headers }).end();
  const [received] = (await once(server, 'request')) as [IncomingMessage];
  await once(sent, 'response');
  server.close();
  server.closeAllConnections();
  return { sent, received };
}

/** Errors of clients of HTTP carry what was sent. */
function clientError(fields: object): Error {
  return Object.assign(new Error('Request failed with status code 401'), fields);
}

describe.each([
  ['a key', KEY],
  ['a hex key', HEX_KEY],
  ['a token of another issuer', FOREIGN],
])('%s is not in a log line', (_, token) => {
  const authorization = `Bearer ${token}`;

  it.each<[string, (logger: pino.Logger) => void]>([
    ['headers', (log) => log.info({ headers: { authorization, accept: '*/*' } })],
    ['headers of req', (log) => log.info({ req: { headers: { authorization, 'x-api-key': token } } })],
    ['headers in capitals', (log) => log.info({ req: { headers: { Authorization: authorization } } })],
    ['the key header in capitals', (log) => log.info({ request: { headers: { 'X-API-KEY': token } } })],
    ['a header alone', (log) => log.info({ authorization, 'X-API-Key': token })],
    ['raw headers', (log) => log.info({ rawHeaders: ['Accept', '*/*', 'Authorization', authorization] })],
    ['pairs', (log) => log.info({ sent: Object.entries({ 'X-API-Key': token }) })],
    ['an error of axios', (log) => log.error(clientError({ config: { headers: { authorization } } }))],
    [
      'an error in a field',
      (log) => log.error({ error: clientError({ response: { config: { headers: { authorization } } } }) }),
    ],
    [
      'the cause of an error',
      (log) => log.error(new AggregateError([clientError({ headers: { authorization } })])),
    ],
    [
      'an object with toJSON',
      (log) => log.info({ call: { toJSON: () => ({ headers: { authorization } }) } }),
    ],
    [
      'an object that contains itself',
      (log) => {
        const call: Record<string, unknown> = { headers: { authorization } };
        call.self = call;
        log.info({ call });
      },
    ],
    ['fields of a child', (log) => log.child({ req: { headers: { authorization } } }).info('done')],
    ['an object in the message', (log) => log.info('called %j', { headers: { authorization } })],
  ])('of %s', (_, log) => {
    const line = logged(log);
    expect(line).toContain('[redacted]');
    expect(line).not.toContain(token.slice(-12));
  });

  it('of a Node request, on the server and on the client', async () => {
    const { sent, received } = await exchanged(authorization);
    const { rawHeaders } = received;
    const line = logged((log) => {
      log.info({ req: received });
      log.info(received);
      log.info({ req: pino.stdSerializers.req(received as never) });
    });
    expect(line).toContain('rawHeaders');
    expect(line).not.toContain(token.slice(-12));
    expect(line).not.toContain(KEY.slice(-12));
    expect(rawHeaders).toContain(authorization);
    expect(received.headers.authorization).toBe(authorization);
    expect(logged((log) => log.error(clientError({ request: sent })))).not.toContain(KEY.slice(-12));
  });
});

it.each<[string, (logger: pino.Logger) => void]>([
  ['the message', (log) => log.info(`no such key: ${KEY}`)],
  ['a value that is formatted into the message', (log) => log.info('no such key: %s', KEY)],
  ['a field', (log) => log.info({ given: KEY })],
  ['the name of a field', (log) => log.info({ attempts: { [KEY]: 3 } })],
  ['the message of an error', (log) => log.error(new Error(`no such key: ${KEY}`))],
  ['the head of a request', (log) => log.info({ sent: { _header: `GET / HTTP/1.1\r\nX-Key: ${KEY}\r\n` } })],
])('a key in %s is masked', (_, log) => {
  const line = logged(log);
  expect(line).toContain(`${KEY.slice(0, 14)}...${KEY.slice(-4)}`);
  expect(line).not.toContain(KEY.slice(-12));
});

it('other values are logged unchanged', () => {
  const fields = {
    at: new Date(0),
    url: new URL('http://localhost/a'),
    bytes: Buffer.from('a'),
    list: [1, 'a', null, undefined, [true]],
    map: new Map([['a', 1]]),
    nested: { a: { b: { c: 1.5 } }, none: null, not: undefined, headers: { authorization: undefined } },
    nan: Number.NaN,
    text: 'text',
  };
  const write = (redact: pino.LoggerOptions['redact']) => {
    let line = '';
    const logger = pino({ timestamp: false, redact }, { write: (written) => (line += written) });
    logger.child({ child: { id: 1 } }).info(fields, 'message %o', { a: 1 });
    return line;
  };
  expect(write(pinoRedaction())).toBe(write(undefined));
});

it('a header with another name, and other fields, are removed if they are listed', () => {
  const fields = {
    Password: 'pw-1',
    req: { headers: { 'x-key': 'k-1', Cookie: 'c-1' }, body: { password: 'pw-2' } },
  };
  const line = logged(
    (log) => log.info({ ...fields, password: 'pw-3' }),
    pinoRedaction('X-Key', 'Password', 'cookie'),
  );
  expect(line).not.toMatch(/pw-|k-1|c-1/);
});

it('a value whose getter throws is removed, and no error is thrown', () => {
  const broken = Object.defineProperty({}, 'a', {
    enumerable: true,
    get() {
      throw new Error('unreadable');
    },
  });
  expect(logged((log) => log.info({ broken }, 'yet told'))).toMatch(/"broken":"\[redacted\]".*yet told/);
});

it('a value below the maximum depth is removed', () => {
  let deep: object = { authorization: FOREIGN };
  for (let i = 0; i < 10_000; i++) deep = { deep };
  expect(logged((log) => log.info({ deep }))).toContain('[redacted]');
});
