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
