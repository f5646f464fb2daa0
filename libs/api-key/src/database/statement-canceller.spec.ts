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

it('statements are cancelled, one after the other, and no connection is left', async () => {
  const observer = await connect();
  const sleepers = [await sleeper(observer), await sleeper(observer)];
  const { canceller } = cancellerTo(process.env.TEST_POSTGRES_URL);
  for (const { client } of sleepers) canceller.cancel(client);
  expect(await Promise.all(sleepers.map(({ ended }) => ended))).toEqual(['57014', '57014']);
});

it('a connection that was never opened, or has ended, has nothing to cancel', async () => {
  const { canceller, opened } = cancellerTo(process.env.TEST_POSTGRES_URL);
  canceller.cancel(new Client());
  const observer = await connect();
  const { client, ended } = await sleeper(observer);
  canceller.cancel(client);
  expect(await ended).toBe('57014');
  expect(opened).toHaveLength(1);
});

it('where there is no connection to be had, as once the application has ended, that is no error either', async () => {
  const client = await connect();
  const asked: string[] = [];
  const canceller = new StatementCanceller(() => {
    asked.push('connection');
    throw new TypeError('the data source is closed');
  });
  canceller.cancel(client);
  await until(() => {
    if (asked.length === 1) canceller.cancel(client);
    return asked.length === 2;
  });
});

it('a database that cannot be reached is no error, and the next statement is cancelled', async () => {
  const observer = await connect();
  const urls = ['postgres://postgres@127.0.0.1:1/postgres', process.env.TEST_POSTGRES_URL];
  const opened: Client[] = [];
  const canceller = new StatementCanceller(() => {
    const client = new Client({ connectionString: urls[opened.length] });
    opened.push(client);
    return client;
  });
  canceller.cancel(observer);
  const { client, ended } = await sleeper(observer);
  canceller.cancel(client);
  expect(await ended).toBe('57014');
});
