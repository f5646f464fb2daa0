import { Client } from 'pg';
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
async function sleeper(observer: Client, text = SLEEP) {
  const client = await connect();
  const ended = client.query(text).then(
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

it('statements are cancelled, several by one connection, which is closed then', async () => {
  const observer = await connect();
  const [one, other] = [await sleeper(observer), await sleeper(observer)];
  const { canceller, opened } = cancellerTo(process.env.TEST_POSTGRES_URL);
  for (const { client } of [one, other]) canceller.cancel(processOf(client), SLEEP);
  expect(await Promise.all([one.ended, other.ended])).toEqual(['57014', '57014']);
  expect(opened).toHaveLength(1);
  await until(async () => {
    const { rows } = await observer.query('SELECT FROM pg_stat_activity WHERE pid = $1', [
      processOf(opened[0] as Client),
    ]);
    return rows.length === 0;
  });
});

it('one that is longer than PostgreSQL shows is known by its start', async () => {
  const observer = await connect();
  const long = `${SLEEP} AS ${'x'.repeat(60)}, ${Array.from({ length: 300 }, (_, i) => `${i} AS column_${i}`).join(', ')}`;
  const { client, ended } = await sleeper(observer, long);
  cancellerTo(process.env.TEST_POSTGRES_URL).canceller.cancel(processOf(client), long);
  expect(await ended).toBe('57014');
});

it('a backend that does something else by now is left alone', async () => {
  const observer = await connect();
  const [busy, gone] = [await sleeper(observer), await sleeper(observer)];
  const { canceller } = cancellerTo(process.env.TEST_POSTGRES_URL);
  canceller.cancel(processOf(busy.client), 'SELECT 1');
  canceller.cancel(processOf(gone.client), SLEEP);
  expect(await gone.ended).toBe('57014');
  const { rows } = await observer.query('SELECT state FROM pg_stat_activity WHERE pid = $1', [
    processOf(busy.client),
  ]);
  expect(rows).toEqual([{ state: 'active' }]);
  await observer.query('SELECT pg_cancel_backend($1)', [processOf(busy.client)]);
  expect(await busy.ended).toBe('57014');
});

it('where there is no connection to be had, as once the application has ended, that is no error either', async () => {
  const asked: string[] = [];
  const canceller = new StatementCanceller(() => {
    asked.push('connection');
    throw new TypeError('the data source is closed');
  });
  canceller.cancel(1, SLEEP);
  await until(() => {
    if (asked.length === 1) canceller.cancel(1, SLEEP);
    return asked.length === 2;
  });
});

it('a database that cannot be reached is no error, and the next is cancelled on a connection of its own', async () => {
  const observer = await connect();
  const urls = ['postgres://postgres@127.0.0.1:1/postgres', process.env.TEST_POSTGRES_URL];
  const opened: Client[] = [];
  const canceller = new StatementCanceller(() => {
    const client = new Client({ connectionString: urls[opened.length] });
    opened.push(client);
    return client;
  });
  canceller.cancel(1, SLEEP);
  const { client, ended } = await sleeper(observer);
  await until(() => {
    if (opened.length === 1) canceller.cancel(processOf(client), SLEEP);
    return opened.length === 2;
  });
  expect(await ended).toBe('57014');
});
