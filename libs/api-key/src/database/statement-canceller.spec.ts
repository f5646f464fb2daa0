import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { Client } from 'pg';
import { temporaryFolder } from '../../../../test/support/folder';
import { until } from '../../../../test/support/until';
import { StatementCanceller } from './statement-canceller';

const SLEEP = "SELECT 'slept', pg_sleep(600)";
let clients: Client[];

async function connect(): Promise<Client> {
  const client = new Client({ connectionString: process.env.TEST_POSTGRES_URL });
  client.on('error', () => {});
  await client.connect();
  clients.push(client);
  return client;
}

beforeEach(() => {
  clients = [];
});
afterEach(() => Promise.all(clients.map((client) => client.end())));

const processOf = (client: Client) => (client as unknown as { readonly processID: number }).processID;

/** A connection on which a statement is under way, and how that ended. */
async function sleeper(observer: Client) {
  const client = await connect();
  const ended = client.query(SLEEP).then(
    () => 'done',
    (error: { code: string }) => error.code,
  );
  await until(async () => {
    const { rows } = await observer.query(
      `SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'`,
      [processOf(client)],
    );
    return rows.length === 1;
  });
  return { client, ended };
}

const cancellerTo = (connectionString: string | undefined) => {
  const opened: Client[] = [];
  const canceller = new StatementCanceller(() => {
    const client = new Client({ connectionString });
    opened.push(client);
    return client;
  });
  return { canceller, opened };
};

it('cancels statements and leaves no connection open', async () => {
  const observer = await connect();
  const sleepers = [await sleeper(observer), await sleeper(observer)];
  const { canceller } = cancellerTo(process.env.TEST_POSTGRES_URL);
  await Promise.all(sleepers.map(({ client }) => canceller.cancel(client)));
  expect(await Promise.all(sleepers.map(({ ended }) => ended))).toEqual(['57014', '57014']);
});

it('sends no request for a connection that was never opened', async () => {
  const { canceller, opened } = cancellerTo(process.env.TEST_POSTGRES_URL);
  await canceller.cancel(new Client());
  expect(opened).toEqual([]);
});

it('a cancellation does not fail if no connection can be opened, such as after the application ended', async () => {
  const client = await connect();
  const canceller = new StatementCanceller(() => {
    throw new TypeError('the data source is closed');
  });
  await expect(canceller.cancel(client)).resolves.toBeUndefined();
});

it('a cancellation does not fail if the database cannot be reached', async () => {
  const client = await connect();
  const { canceller } = cancellerTo('postgres://postgres@127.0.0.1:1/postgres');
  await expect(canceller.cancel(client)).resolves.toBeUndefined();
});

it('cancels nothing with a driver that has no protocol connection, such as pg-native', async () => {
  const client = await connect();
  const canceller = new StatementCanceller(() => ({ host: '127.0.0.1', port: 5432 }) as Client);
  await expect(canceller.cancel(client)).resolves.toBeUndefined();
});

it('cancels a statement over a UNIX socket', async () => {
  const { hostname, port } = new URL(process.env.TEST_POSTGRES_URL ?? '');
  const folder = temporaryFolder();
  const server = createServer((incoming) => {
    const outgoing = createConnection(Number(port), hostname);
    incoming.pipe(outgoing).pipe(incoming);
    for (const socket of [incoming, outgoing]) socket.on('error', () => {});
  });
  await once(server.listen(join(folder, '.s.PGSQL.5432')), 'listening');
  const { client, ended } = await sleeper(await connect());
  const canceller = new StatementCanceller(() => new Client({ host: folder, port: 5432 }));
  await canceller.cancel(client);
  expect(await ended).toBe('57014');
  server.close();
});

describe('a database that requires TLS', () => {
  const TLS = join(__dirname, '../../../../test/fixtures/tls');
  const secureContext = {
    key: readFileSync(join(TLS, 'key.pem')),
    cert: readFileSync(join(TLS, 'cert.pem')),
  };
  const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);
  let server: Server;

  /** Accepts TLS, and closes the connection once the client has sent a request. */
  function startTls(socket: Socket, requests: Buffer[]): void {
    const secure = new TLSSocket(socket, { isServer: true, ALPNProtocols: ['postgresql'], ...secureContext });
    secure.on('error', () => {});
    secure.once('data', (request) => {
      requests.push(request);
      secure.end();
    });
  }

  async function listen(accept: (socket: Socket) => void): Promise<number> {
    server = createServer(accept);
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return (server.address() as AddressInfo).port;
  }

  afterEach(() => void server.close());

  const secretOf = (client: Client) =>
    (client as unknown as { readonly secretKey: number | Buffer }).secretKey;

  /** The CancelRequest of a session, in version 3.0 of the protocol. */
  function requestFor(client: Client): Buffer {
    const request = Buffer.from([0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 0, 0, 0, 0, 0]);
    request.writeInt32BE(processOf(client), 8);
    request.writeInt32BE(Number(secretOf(client)), 12);
    return request;
  }

  it('gets the request encrypted, after the client has asked for TLS', async () => {
    const [asked, requests]: [Buffer[], Buffer[]] = [[], []];
    const port = await listen((socket) =>
      socket.once('data', (first) => {
        asked.push(first);
        socket.write('S');
        startTls(socket, requests);
      }),
    );
    const client = await connect();
    const ssl = { rejectUnauthorized: false };
    await new StatementCanceller(() => new Client({ host: '127.0.0.1', port, ssl })).cancel(client);
    expect(asked).toEqual([SSL_REQUEST]);
    expect(requests).toEqual([requestFor(client)]);
  });

  it('gets the request encrypted from the first byte, if the client is set to sslnegotiation=direct', async () => {
    const requests: Buffer[] = [];
    const port = await listen((socket) => startTls(socket, requests));
    const client = await connect();
    const settings = {
      host: '127.0.0.1',
      port,
      ssl: { rejectUnauthorized: false },
      sslnegotiation: 'direct' as const,
    };
    await new StatementCanceller(() => new Client(settings)).cancel(client);
    expect(requests).toEqual([requestFor(client)]);
  });
});
