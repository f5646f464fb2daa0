import { Logger } from '@nestjs/common';
import type { Client } from 'pg';
import { FeedServer } from '../../../../test/support/feed-server';
import { until } from '../../../../test/support/until';
import type { Database } from '../database/database';
import { Tables } from '../database/tables';
import { BackOff } from './back-off';
import { Lease } from './lease';
import { RevocationFeed } from './revocation-feed';

let server: FeedServer;
let now: number;
let lease: Lease;
let heard: string[];
let said: string[];
/** How long a session was held each time that another one is about to be made. */
let held: number[];
/** The contexts that warnings were logged under. */
let contexts: Set<string>;
let feed: RevocationFeed;

const clock = { monotonic: () => now, wall: () => now };

beforeEach(() => {
  server = new FeedServer();
  now = 1_000;
  lease = new Lease(2_000, clock);
  [heard, said, held, contexts] = [[], [], [], new Set()];
  const say = (line: string) => void said.push(line);
  jest.spyOn(Logger.prototype, 'warn').mockImplementation(function (this: unknown, line: string) {
    say(line);
    contexts.add((this as { readonly context: string }).context);
  });
  jest.spyOn(Logger.prototype, 'log').mockImplementation(say);
  jest.spyOn(BackOff.prototype, 'next').mockImplementation((heldMs) => {
    held.push(heldMs);
    return 1;
  });
});

afterEach(async () => {
  await feed.onApplicationShutdown();
  jest.restoreAllMocks();
});

function begin(checkMs?: number): void {
  const database = {
    tables: new Tables('public.api_keys'),
    sideClient: (name: string): Client => server.newClient(name),
    transaction: async () => {},
  };
  const listener = {
    evict: () => {},
    evictUnknown: () => {},
    evictOwner: () => {},
    clear: () => void heard.push('anything'),
  };
  const options = { heartbeatMs: 1, leaseMs: 2_000, trustMs: 2_000, checkMs };
  feed = new RevocationFeed(database as unknown as Database, lease, listener, options, clock);
  feed.onApplicationBootstrap();
}

const sessions = () => server.clients.filter(({ name }) => name === 'nestjs-api-key feed');

it('does nothing before the application has started, and reports that it does not listen', () => {
  feed = new RevocationFeed({} as Database, lease, { clear: () => {} } as never, {} as never, clock);
  expect([feed.queueUsage, server.clients]).toEqual([null, []]);
});

it('does not keep the process alive, and reports the usage of the queue while it listens', async () => {
  begin();
  await until(() => lease.isHeld());
  expect(feed.queueUsage).toBe(0.125);
  expect(sessions()[0]?.events).toEqual(['connected', 'unreferenced']);
  await feed.onApplicationShutdown();
  expect(feed.queueUsage).toBeNull();
  expect(sessions()[0]?.events).toEqual(['connected', 'unreferenced', 'ended', 'destroyed']);
  expect(said).toEqual([]);
});

it('begins a new session after the connection ended, and clears the cache only at its beginning', async () => {
  begin();
  await until(() => lease.isHeld());
  const { session } = lease;
  now += 7_000;
  sessions()[0]?.emit('end');
  await until(() => lease.isHeld() && lease.session !== session);
  expect([held, heard]).toEqual([[7_000], ['anything', 'anything']]);
  await until(() => said.length > 1);
  expect(said).toEqual([
    'The revocation feed does not work, so keys are looked up at each request: the connection ended',
    'The revocation feed works again: keys are cached again.',
  ]);
});

it('ends a session on an error of its driver, and ignores the old connection from then on', async () => {
  begin();
  await until(() => lease.isHeld());
  const [first] = sessions();
  const channels = [...(first?.channels ?? [])];
  first?.emit('error', new Error('reset'));
  await until(() => sessions().length > 1 && lease.isHeld());
  expect(said[0]).toMatch(/: reset$/);
  heard = [];
  for (const channel of channels) first?.emit('notification', { channel, payload: '*', processId: 1 });
  expect(heard).toEqual([]);
});

it('retries while the database is unreachable, and logs it once', async () => {
  server.before = () => {
    throw new Error('refused');
  };
  begin();
  await until(() => held.length >= 3);
  expect(said).toEqual(['The revocation feed does not work, so keys are looked up at each request: refused']);
  expect([...contexts]).toEqual(['ApiKeyModule']);
  expect([lease.session, heard]).toEqual([null, []]);
});

it('clears the cache at once if changes are no longer notified, and checks again when the next check is due', async () => {
  begin(5);
  await until(() => lease.isHeld());
  server.triggers.clear();
  await until(() => said.length > 0);
  expect([lease.session, heard]).toEqual([null, ['anything', 'anything']]);
  await until(() => sessions().length >= 4);
  expect([held, heard]).toEqual([[], ['anything', 'anything']]);
});

it('waits for the next check, one minute by default, if triggers were missing from the start', async () => {
  server.triggers.clear();
  begin();
  await until(() => said.length > 0);
  await until(() => sessions()[0]?.events.includes('destroyed') === true);
  const seen = jest.fn();
  setImmediate(seen);
  await until(() => seen.mock.calls.length > 0);
  expect([sessions().length, held, heard]).toEqual([1, [], []]);
});

it('clears the cache at once if the table was replaced, and begins a session on the new table after the back-off', async () => {
  begin();
  await until(() => lease.isHeld());
  server.oid = '18';
  await until(() => sessions().length > 1 && lease.isHeld());
  expect(held).toHaveLength(1);
  expect(heard).toEqual(['anything', 'anything', 'anything']);
  expect([...(sessions()[1]?.channels ?? [])][0]).toBe('nestjs_api_key_feed_18');
});

it('can be stopped while it waits for the next session', async () => {
  jest.spyOn(BackOff.prototype, 'next').mockReturnValue(60_000);
  server.before = () => {
    throw new Error('refused');
  };
  begin();
  await until(() => said.length > 0);
  await feed.onApplicationShutdown();
  expect([sessions().length, said.length]).toEqual([1, 1]);
});
