import { Logger } from '@nestjs/common';
import type { Client } from 'pg';
import { FeedServer } from '../../../../test/support/feed-server';
import { until } from '../../../../test/support/until';
import type { Database } from '../database/database';
import { Session } from '../database/session';
import { Tables } from '../database/tables';
import { FeedMissing } from './feed-missing';
import { FeedReport } from './feed-report';
import { type FeedContext, type FeedOptions, FeedSession } from './feed-session';
import { Lease } from './lease';
import { QueueWatch } from './queue-watch';

const LEASE_MS = 2_000;
const OPTIONS: FeedOptions = { heartbeatMs: 1, leaseMs: LEASE_MS, trustMs: 12_345, checkMs: 60_000 };
const TABLES = new Tables('public');

let server: FeedServer;
let client: Client;
let over: AbortController;
let now: number;
let lease: Lease;
let heard: string[];
let said: string[];
/** The statements of transactions beside the session. */
let changes: [string, readonly unknown[]][];
let queue: QueueWatch;

beforeEach(() => {
  server = new FeedServer();
  client = server.newClient('feed');
  over = new AbortController();
  now = 1_000;
  lease = new Lease(LEASE_MS, clock);
  [heard, said, changes] = [[], [], []];
  const say = (line: string) => void said.push(line);
  jest.spyOn(Logger.prototype, 'warn').mockImplementation(say);
  jest.spyOn(Logger.prototype, 'log').mockImplementation(say);
});

afterEach(() => {
  over.abort();
  jest.restoreAllMocks();
});

const clock = { monotonic: () => now, wall: () => now };

const database = {
  tables: TABLES,
  sideClient: () => server.newClient('trial'),
  transaction: async (work: (session: Session) => Promise<unknown>) => {
    const query = async ({ text, values = [] }: { text: string; values?: readonly unknown[] }) => {
      server.asked.push('transaction');
      changes.push([text, values]);
      return { rows: [] };
    };
    return work(new Session({ query } as unknown as Client, TABLES, 0));
  },
} as unknown as Database;

function contextOf(options: Partial<FeedOptions>): FeedContext {
  const logger = new Logger();
  queue = new QueueWatch(logger);
  return {
    database,
    lease,
    listener: {
      evict: (id) => void heard.push(`key ${id}`),
      evictUnknown: () => void heard.push('a new key'),
      evictOwner: (id) => void heard.push(`owner ${id}`),
      clear: () => void heard.push('anything'),
    },
    options: { ...OPTIONS, ...options },
    clock,
    queue,
    report: new FeedReport(logger),
  };
}

const open = (options: Partial<FeedOptions> = {}) =>
  FeedSession.open(client, contextOf(options), over.signal);

const count = (purpose: RegExp) => server.asked.filter((each) => purpose.test(each)).length;

/**
 * Runs a session until a number of heartbeats was sent and the last one was answered. Returns the
 * error of the session, if it failed.
 */
async function beat(heartbeats: number, options: Partial<FeedOptions> = {}): Promise<unknown> {
  const session = await open(options);
  let failure: unknown = null;
  const beating = session.beat().catch((error: unknown) => {
    failure = error;
  });
  await until(() => failure !== null || server.answered.includes(`heartbeat ${heartbeats}`));
  if (failure !== null) return failure;
  over.abort();
  await beating;
  return null;
}

/** Runs before each heartbeat is answered. */
function beforeHeartbeats(run: (number: number) => void): void {
  server.before = (purpose) => {
    const [, number] = /^heartbeat (\d+)$/.exec(purpose) ?? [];
    if (number !== undefined) run(Number(number));
  };
}

describe('the opening of a session', () => {
  it('checks the triggers and raises the trust bound before LISTEN, and sends LISTEN before it tests that notifications arrive', async () => {
    await open();
    expect(server.asked).toEqual([
      'own names',
      'begin "public"."api_keys"',
      'triggers "public"."api_keys"',
      'kin "public"."api_keys"',
      'transaction',
      'keep',
      'LISTEN nestjs_api_key_feed_17',
      'LISTEN nestjs_api_key_(own)',
      'trial: probe',
    ]);
    expect(changes).toEqual([[expect.stringContaining('trust_ms'), [12_345]]]);
  });

  it('begins the lease with an empty cache, and trusts nothing before the first heartbeat', async () => {
    expect(lease.session).toBeNull();
    await open();
    expect([lease.session === null, lease.isHeld(), heard, queue.usage]).toEqual([
      false,
      false,
      ['anything'],
      0.125,
    ]);
  });

  it('abandons a statement after five seconds', async () => {
    await open();
    expect(new Set(server.statements.map(({ query_timeout }) => query_timeout))).toEqual(new Set([5_000]));
  });

  it('fails on a replica before it checks the triggers', async () => {
    server.standby = 'true';
    await expect(open()).rejects.toThrow('is to a replica');
    expect([count(/triggers|LISTEN/), lease.session]).toEqual([0, null]);
  });

  it('begins no lease if the session ended while its trial notification was under way', async () => {
    server.before = (purpose) => {
      if (purpose === 'trial: probe') over.abort();
    };
    await expect(open()).rejects.toThrow('aborted');
    expect([lease.session, heard]).toEqual([null, []]);
  });

  it('has its own heartbeat channel, which no other session receives', async () => {
    await open();
    client = server.newClient('feed');
    await open();
    const channels = server.statements.flatMap(
      ({ text }) => /LISTEN (nestjs_api_key_[0-9a-f]{24})$/.exec(text)?.[1] ?? [],
    );
    expect(new Set(channels).size).toBe(2);
  });

  it('reports the meaning of a notification of the table, and ignores one on its heartbeat channel', async () => {
    await open();
    heard = [];
    server.notify('nestjs_api_key_feed_17', '42');
    server.notify('nestjs_api_key_feed_17', 'u:7');
    server.notify(String([...(client as unknown as { channels: Set<string> }).channels][1]), '42');
    expect(heard).toEqual(['key 42', 'owner 7']);
  });
});

describe('a missing trigger', () => {
  const failure = () => open().catch((error: unknown) => error);

  it('is an error that a new session cannot fix, and the message says how to create the trigger', async () => {
    server.triggers.delete('nestjs_api_key_feed_insert');
    const error = await failure();
    expect(error).toBeInstanceOf(FeedMissing);
    expect(error).toMatchObject({
      isHopeless: true,
      message:
        'triggers nestjs_api_key_feed_insert are missing or not enabled as needed: ' +
        'call runMigrations(dataSource), which creates missing triggers, or run as the owner of the table: ' +
        'CREATE TRIGGER nestjs_api_key_feed_insert AFTER INSERT ON "public"."api_keys" FOR EACH STATEMENT EXECUTE FUNCTION "public"."nestjs_api_key_feed"(); ' +
        'ALTER TABLE "public"."api_keys" ENABLE ALWAYS TRIGGER nestjs_api_key_feed_insert',
    });
  });

  it('is reported differently from a trigger that exists and cannot fire', async () => {
    server.triggers.delete('nestjs_api_key_feed_insert');
    server.triggers.set('nestjs_api_key_feed_delete', 'O');
    server.triggers.set('of_the_application', 'D');
    const statements = String(await failure())
      .split('owner of the table: ')[1]
      ?.split('; ');
    expect(statements?.map((statement) => statement.replace(/ (AFTER|ON) .*/, ''))).toEqual([
      'CREATE TRIGGER nestjs_api_key_feed_insert',
      'ALTER TABLE "public"."api_keys" ENABLE ALWAYS TRIGGER nestjs_api_key_feed_insert',
      'ALTER TABLE "public"."api_keys" ENABLE ALWAYS TRIGGER nestjs_api_key_feed_delete',
    ]);
  });

  it.each([
    ['is missing', undefined, /^CREATE TRIGGER nestjs_api_key_feed_replicated AFTER INSERT .* FOR EACH ROW /],
    ['is disabled', 'D', /^/],
    ['fires only in ordinary sessions', 'O', /^/],
  ])('for replicated keys is an error if it %s, and the message says how to fix it', async (_, state, first) => {
    if (state === undefined) server.triggers.delete('nestjs_api_key_feed_replicated');
    else server.triggers.set('nestjs_api_key_feed_replicated', state);
    const statements = String(await failure()).split('owner of the table: ')[1];
    expect(statements).toMatch(first);
    expect(statements).toMatch(
      /ALTER TABLE "public"."api_keys" ENABLE REPLICA TRIGGER nestjs_api_key_feed_replicated$/,
    );
  });

  it.each(['R', 'A'])('for replicated keys is no error if its state is %s', async (state) => {
    server.triggers.set('nestjs_api_key_feed_replicated', state);
    await expect(open()).resolves.toBeInstanceOf(FeedSession);
  });

  it('that exists and cannot fire is fixed without the migrations', async () => {
    server.triggers.set('nestjs_api_key_feed_delete', 'D');
    server.triggers.set('nestjs_api_key_feed_update', 'R');
    expect(await failure()).toMatchObject({
      message:
        'triggers nestjs_api_key_feed_update, nestjs_api_key_feed_delete are missing or not enabled as needed: run as the owner of the table: ' +
        'ALTER TABLE "public"."api_keys" ENABLE ALWAYS TRIGGER nestjs_api_key_feed_update; ' +
        'ALTER TABLE "public"."api_keys" ENABLE ALWAYS TRIGGER nestjs_api_key_feed_delete',
    });
  });
});

describe('a heartbeat', () => {
  it('renews the lease from its sending, not from its return', async () => {
    beforeHeartbeats(() => {
      now += LEASE_MS / 2;
    });
    expect(await beat(1)).toBeNull();
    expect([lease.isHeld(), lease.heartbeatAgeMs()]).toEqual([true, LEASE_MS / 2]);
  });

  it('is one prepared statement, prepared once', async () => {
    await beat(3);
    const beats = server.statements.filter(({ text }) => text.includes('to_regclass'));
    expect(new Set(beats.map(({ name }) => name))).toEqual(new Set(['nestjs_api_key_beat']));
    expect(new Set(beats.map(({ text }) => text)).size).toBe(1);
    expect(beats[0]?.values).toEqual([
      expect.stringMatching(/^nestjs_api_key_[0-9a-f]{24}$/),
      '1',
      '"public"."api_keys"',
      OPTIONS.trustMs,
    ]);
  });

  it('that arrives after the end of the session renews nothing', async () => {
    server.loses = (payload) => /^\d+$/.test(payload);
    await beat(1);
    const [channel] = server.statements
      .filter(({ text }) => text.includes('to_regclass'))
      .map(({ values }) => values?.[0]);
    server.loses = () => false;
    server.notify(String(channel), '1');
    expect(lease.heartbeatAgeMs()).toBeNull();
  });

  it('reports the usage of the queue', async () => {
    server.before = (purpose) => {
      if (purpose === 'heartbeat 1') server.usage = '0.2';
    };
    await beat(1);
    expect([queue.usage, said]).toEqual([0.2, []]);
  });

  it.each([
    [
      'does not end the session while the oldest heartbeat in flight is at most as old as a lease and a heartbeat',
      0,
      null,
    ],
    ['ends the session if the oldest heartbeat in flight is older', 1, 'heartbeats no longer return'],
  ])('%s', async (_, more, message) => {
    server.loses = (payload) => /^\d+$/.test(payload);
    beforeHeartbeats((number) => {
      if (number === 1) now += LEASE_MS + 1 + more;
    });
    const failure = await beat(2);
    expect(failure === null ? null : (failure as Error).message).toBe(message);
  });

  it('that returned is no longer waited for, however long ago it was', async () => {
    beforeHeartbeats(() => {
      now += 10 * LEASE_MS;
    });
    expect(await beat(3)).toBeNull();
  });

  it.each([
    ['is another table', '18'],
    ['is gone', null],
  ])('ends the session if the table %s, because a new session can fix that', async (_, oid) => {
    beforeHeartbeats(() => {
      server.oid = oid;
    });
    const failure = await beat(2);
    expect(failure).toBeInstanceOf(FeedMissing);
    expect(failure).toMatchObject({
      isHopeless: false,
      message: 'table "public"."api_keys" was replaced by another table',
    });
  });

  it('ends the session, so that the next one raises the trust again, if the table of it was emptied or changed', async () => {
    beforeHeartbeats(() => {
      server.trustKnown = 'false';
    });
    const failure = await beat(2);
    expect(failure).toBeInstanceOf(FeedMissing);
    expect(failure).toMatchObject({
      isHopeless: false,
      message: 'table "public"."api_key_trust" was emptied or changed',
    });
    expect(server.statements.at(-1)?.values?.at(-1)).toBe(12_345);
  });

  it('ends the session if its connection does not listen any more, for example behind a pooler', async () => {
    beforeHeartbeats(() => {
      server.listens = 'false';
    });
    expect(await beat(2)).toMatchObject({
      message: expect.stringMatching(
        /^notifications of other connections do not arrive, .* give the library a data source that bypasses the pooler$/,
      ),
    });
  });

  it('that fails ends the session', async () => {
    beforeHeartbeats(() => {
      throw new Error('reset');
    });
    expect(await beat(2)).toMatchObject({ message: 'reset' });
  });

  it('is skipped if the queue is full: the session continues, logs it once, and logs when it works again', async () => {
    beforeHeartbeats((number) => {
      now += LEASE_MS;
      if (number < 4) throw Object.assign(new Error('too many notifications'), { code: '54000' });
    });
    const full: (number | null)[] = [];
    jest.spyOn(QueueWatch.prototype, 'observe').mockImplementation((usage) => void full.push(usage));
    expect(await beat(5)).toBeNull();
    expect(full.slice(0, 4)).toEqual([0.125, 1, 1, 1]);
    expect(said).toEqual([
      expect.stringMatching(
        /^The revocation feed does not work, so keys are looked up at each request: the notification queue of PostgreSQL is full: /,
      ),
      'The revocation feed works again: keys are cached again.',
    ]);
  });

  it.each([
    ['every second heartbeat, if checks are that often due', 4, 2, 5, 2],
    ['every third heartbeat, if checks are due between two heartbeats', 5, 2, 6, 1],
    ['every heartbeat, if heartbeats are rarer than checks', 1, 2, 4, 3],
  ])('is followed by a check of the triggers after %s', async (_, checkMs, heartbeatMs, heartbeats, checks) => {
    await beat(heartbeats, { checkMs, heartbeatMs });
    const last = server.asked.indexOf(`heartbeat ${heartbeats}`);
    const before = server.asked.slice(0, last).filter((purpose) => purpose.startsWith('triggers'));
    expect(before).toHaveLength(1 + checks);
  });

  it('ends the session if a check finds rows in a table whose changes are not notified', async () => {
    beforeHeartbeats(() => server.unheard.push('archive'));
    expect(await beat(3, { checkMs: 1 })).toBeInstanceOf(FeedMissing);
  });

  it('ends the session if a check finds disabled triggers', async () => {
    beforeHeartbeats(() => server.triggers.clear());
    expect(await beat(3, { checkMs: 1 })).toBeInstanceOf(FeedMissing);
    expect(count(/^heartbeat/)).toBe(1);
  });

  it('clears the whole cache once if it reads a silent change', async () => {
    beforeHeartbeats((number) => {
      if (number === 2) server.silent = '7 1.5';
    });
    await beat(4);
    expect([heard, changes.length]).toEqual([['anything', 'anything'], 1]);
  });

  it('checks the triggers and clears the whole cache before it renews the lease if the table was redefined', async () => {
    beforeHeartbeats((number) => {
      if (number === 2) server.definition = '2';
    });
    jest.spyOn(lease, 'renew').mockImplementation(() => void heard.push('renewed'));
    await beat(4);
    expect(heard.slice(0, 5)).toEqual(['anything', 'renewed', 'anything', 'renewed', 'renewed']);
    expect(count(/^triggers/)).toBe(2);
  });

  it('ends the session at once if the table was redefined so that a change of a key would not be notified', async () => {
    beforeHeartbeats((number) => {
      if (number !== 2) return;
      server.definition = '2';
      server.unheard.push('archive');
    });
    expect(await beat(4)).toBeInstanceOf(FeedMissing);
    expect(count(/^heartbeat/)).toBe(2);
  });

  it('ignores silent changes from before its session', async () => {
    server.silent = '7 1.5';
    await beat(2);
    expect(heard).toEqual(['anything']);
  });

  it.each([
    ['leaves 64 silent changes unchanged', 64, 0],
    ['replaces 65 silent changes by one row', 65, 1],
  ])('%s', async (_, silent, replaced) => {
    beforeHeartbeats((number) => {
      const left = number === 1 ? silent : 1;
      server.silent = Array.from({ length: left }, (__, i) => `${i} 1`).join(',');
    });
    await beat(2);
    expect(changes.slice(1)).toEqual(
      replaced === 0 ? [] : [[expect.stringContaining('"public"."api_key_silent_changes"'), []]],
    );
  });
});
