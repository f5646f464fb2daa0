import type { Client } from 'pg';
import { FeedServer } from '../../../../test/support/feed-server';
import { until } from '../../../../test/support/until';
import type { Database } from '../database/database';
import { Tables } from '../database/tables';
import { proveArrival } from './feed-trial';

const CHANNEL = 'own';

let server: FeedServer;
let client: Client;
let over: AbortController;

beforeEach(() => {
  server = new FeedServer();
  client = listening(server.newClient('feed'));
  over = new AbortController();
});

afterEach(() => over.abort());

/** A connection that listens on its own channel. */
function listening(opened: Client): Client {
  const { channels } = opened as unknown as { readonly channels: Set<string> };
  channels.add(CHANNEL);
  return opened;
}

const prove = () => {
  const database = {
    tables: new Tables('public.api_keys'),
    sideClient: (name: string) => server.newClient(name),
  };
  return proveArrival(database as unknown as Database, client, CHANNEL, over.signal);
};

const trial = () => server.clients[1];

it('is proven by a notification of another connection, which is then closed', async () => {
  await prove();
  expect(trial()?.name).toBe('nestjs-api-key probe');
  await until(() => trial()?.events.includes('destroyed') === true);
  expect(trial()?.events).toEqual(['connected', 'ended', 'destroyed']);
  expect(server.statements[0]).toMatchObject({ values: [CHANNEL, 'probe'], query_timeout: 5_000 });
  expect(client.listenerCount('notification')).toBe(0);
});

it.each([
  ['another payload', CHANNEL, '1'],
  ['another channel', 'another', 'probe'],
])('is not proven by a notification of %s', async (_, channel, payload) => {
  server.loses = () => true;
  const settled = jest.fn();
  prove().then(settled, settled);
  await until(() => server.answered.length > 0);
  client.emit('notification', { channel, payload, processId: 1 });
  await new Promise(setImmediate);
  expect(settled).not.toHaveBeenCalled();
});

it('fails if the notification does not arrive within two seconds, and the message says what to do', async () => {
  server.loses = () => true;
  jest.useFakeTimers();
  try {
    const outcome = prove().catch((error: Error) => error.message);
    const settled = jest.fn();
    void outcome.then(settled);
    await jest.advanceTimersByTimeAsync(1_900);
    expect(settled).not.toHaveBeenCalled();
    await jest.advanceTimersByTimeAsync(200);
    expect(await outcome).toBe(
      'notifications of other connections do not arrive, for example behind a pooler in transaction mode: give the library a data source that bypasses the pooler',
    );
  } finally {
    jest.useRealTimers();
  }
});

it('fails if the other connection cannot be opened, and closes it anyway', async () => {
  server.before = () => Promise.reject(new Error('refused'));
  await expect(prove()).rejects.toThrow('refused');
  await until(() => trial()?.events.includes('destroyed') === true);
});

it('closes the other connection at once if the session ends while it waits for an answer', async () => {
  let answer = () => {};
  server.before = (purpose) => {
    if (purpose.startsWith('connect')) return;
    return new Promise<void>((resolve) => {
      answer = resolve;
    });
  };
  const proving = prove();
  proving.catch(() => {});
  await until(() => server.asked.length > 0);
  expect(trial()?.events).toEqual(['connected']);
  over.abort();
  await until(() => trial()?.events.includes('destroyed') === true);
  answer();
  await expect(proving).rejects.toThrow('aborted');
});

it('stops waiting if the session ends before the notification arrives', async () => {
  server.loses = () => true;
  const proving = prove();
  await until(() => server.answered.length > 0);
  over.abort();
  await proving;
});
