import { setTimeout as delay } from 'node:timers/promises';
import { ApiKeyRefusal, type IssuedApiKey } from 'nestjs-api-key';
import { Client } from 'pg';
import { sql } from '../support/database';
import { digestOf } from '../support/digest';
import { Fleet, type MemberSettings } from '../support/fleet';
import { type Call, call, Load } from '../support/load';
import { until } from '../support/until';

const PER_SECOND = 200;
const KEYS = 50;
const HOT_KEYS = 2;

/** The fleet of most tests; the look-ups of the last one may take as long as they are held. */
const DEFAULTS: readonly MemberSettings[] = [
  { adapter: 'express' },
  { adapter: 'fastify' },
  { adapter: 'express' },
  { adapter: 'fastify', options: { cache: { lookUpTimeoutMs: 60_000 } } },
];
const PATIENT = 3;
const MIXED: readonly MemberSettings[] = [
  { adapter: 'express', options: { cache: { leaseMs: 500, heartbeatMs: 100 } } },
  { adapter: 'fastify', options: { cache: { leaseMs: 1_000, size: 10 } } },
  { adapter: 'express', options: { cache: { leaseMs: 2_000 } } },
  { adapter: 'fastify', options: { cache: { leaseMs: 4_000 } } },
];

let fleet: Fleet;
let load: Load | undefined;

/**
 * A load that asks every instance for all keys in turn, and between two of them for a few, which
 * stay even where there is little room.
 */
function loadWith(issued: readonly IssuedApiKey[]): Load {
  let calls = 0;
  const pick = () => {
    const turn = Math.floor(calls++ / fleet.urls.length);
    const among = turn % 2 === 0 ? issued : issued.slice(0, HOT_KEYS);
    return among[(turn >> 1) % among.length]?.key ?? '';
  };
  load = new Load(fleet.urls, PER_SECOND, pick);
  return load;
}

/** When each key's end was acknowledged. */
type Acknowledged = ReadonlyMap<string, number>;

/**
 * Revokes all at once, everywhere. A revocation that fails because the machine is overloaded is
 * repeated, as its error says.
 */
async function revokeEverywhere(issued: readonly IssuedApiKey[]): Promise<Acknowledged> {
  const acknowledged = new Map<string, number>();
  await Promise.all(
    issued.map(async ({ key, apiKey }) => {
      await untilAnswered(() => fleet.keys.revoke(apiKey.id, { everywhere: true }));
      acknowledged.set(key, performance.now());
    }),
  );
  return acknowledged;
}

async function untilAnswered(call: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await call();
      return;
    } catch (error) {
      if (!(error instanceof ApiKeyRefusal) || error.code !== 'KEY_STORE_UNAVAILABLE') throw error;
    }
  }
}

/** Ends all keys by a statement, and waits as long as `everywhere` does. */
async function endBy(statement: string, issued: readonly IssuedApiKey[]): Promise<Acknowledged> {
  await sql(fleet.database, statement);
  const [row] = await sql<{ ms: string }>(fleet.database, 'SELECT trust_ms AS ms FROM api_key_trust');
  await delay(Number(row?.ms) * 1.01 + 20);
  const now = performance.now();
  return new Map(issued.map(({ key }) => [key, now]));
}

const acceptedAfter = (calls: readonly Call[], acknowledged: Acknowledged) =>
  calls.filter(
    ({ key, startedAt, status }) =>
      status === 200 && startedAt > (acknowledged.get(key) ?? Number.POSITIVE_INFINITY),
  );

const KILL_FEEDS = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE application_name = 'nestjs-api-key feed' AND datname = current_database()`;

/**
 * Ends all listening connections in the database, again and again without a pause, so that none
 * begins to listen; until it is told to end.
 */
async function killFeeds(): Promise<() => Promise<void>> {
  const client = new Client({ connectionString: fleet.database });
  await client.connect();
  await client.query(KILL_FEEDS);
  let goesOn = true;
  const killing = (async () => {
    while (goesOn) await client.query(KILL_FEEDS);
    await client.end();
  })();
  return async () => {
    goesOn = false;
    await killing;
  };
}

/** What befalls the fleet in a test of the promise. */
interface Fault {
  /** Before the keys are ended, all of them remembered everywhere. */
  readonly before?: () => Promise<unknown> | unknown;
  /** How they are ended. Default: `revoke` with `everywhere`. */
  readonly end?: (issued: readonly IssuedApiKey[]) => Promise<Acknowledged>;
  /** After the acknowledgement. */
  readonly after?: () => Promise<unknown> | unknown;
  /** When requests after the acknowledgement were refused. */
  readonly mend?: () => Promise<unknown> | unknown;
}

/**
 * Ends fifty warm keys under load and a fault; answers what was accepted though it started after
 * the acknowledgement.
 */
async function acceptedThough({ before, end = revokeEverywhere, after, mend }: Fault): Promise<Call[]> {
  const issued = await fleet.issue(KEYS);
  await fleet.warm(issued.map(({ key }) => key));
  const under = loadWith(issued);
  await before?.();
  const acknowledged = await end(issued);
  const asked = performance.now();
  await after?.();
  const callsSince = () => under.calls.filter(({ startedAt }) => startedAt > asked);
  await until(() => fleet.urls.every((_, at) => callsSince().filter((made) => made.at === at).length > 200));
  await mend?.();
  const mended = performance.now();
  await until(() =>
    fleet.urls.every((_, at) =>
      under.calls.some((made) => made.at === at && made.startedAt > mended && made.status === 401),
    ),
  );
  await under.stop();
  expect(under.calls.filter(({ status }) => ![200, 401, 503].includes(status))).toEqual([]);
  return acceptedAfter(under.calls, acknowledged);
}

/** Also ends the killing of a test that failed, which would disturb all tests after it. */
let endKilling: (() => Promise<void>) | undefined;

afterEach(async () => {
  await endKilling?.();
  await load?.stop();
  [endKilling, load] = [undefined, undefined];
});

describe('four instances under load accept no key in a request that starts after its end was acknowledged everywhere,', () => {
  beforeAll(async () => {
    fleet = await Fleet.start(DEFAULTS);
  });
  afterAll(() => fleet.stop());

  it('if nothing fails, five hundred times', async () => {
    for (let ended = 0; ended < 500; ended += KEYS) expect(await acceptedThough({})).toEqual([]);
  }, 600_000);

  it('even if their listening connections are killed again and again', async () => {
    const accepted = await acceptedThough({
      before: async () => {
        endKilling = await killFeeds();
      },
      mend: () => endKilling?.(),
    });
    expect(accepted).toEqual([]);
  });

  it.each([
    'feed',
    'all',
  ] as const)('even if the database sockets of one instance are stalled (%s)', async (which) => {
    const { proxy } = fleet.member(1);
    const accepted = await acceptedThough({ before: () => proxy.silence(which), mend: proxy.mend });
    expect(accepted).toEqual([]);
  });

  it('even if one instance was frozen during the revocation and resumes with its feed far behind', async () => {
    const { sample, proxy } = fleet.member(2);
    const accepted = await acceptedThough({
      before: () => {
        sample.process.kill('SIGSTOP');
        proxy.silence('feed');
      },
      after: () => sample.process.kill('SIGCONT'),
      mend: proxy.mend,
    });
    expect(accepted).toEqual([]);
  });

  it('if a key is deleted through psql', async () => {
    const end = (issued: readonly IssuedApiKey[]) =>
      endBy(`DELETE FROM api_keys WHERE id IN (${issued.map(({ apiKey }) => apiKey.id)})`, issued);
    expect(await acceptedThough({ end })).toEqual([]);
  });

  it('if a user is deleted, which cascades', async () => {
    const end = (issued: readonly IssuedApiKey[]) =>
      endBy(`DELETE FROM users WHERE id = ${issued[0]?.apiKey.userId}`, issued);
    expect(await acceptedThough({ end })).toEqual([]);
  });

  /**
   * A key whose first look-up at the patient instance is under way: PostgreSQL has answered, and
   * the answer is held. The instance has heard before that the key was made, as it has heard the
   * end of another, later: that note would close the look-up.
   */
  async function slowLookUp() {
    const probe = await warmKey();
    const [issued] = await fleet.issue(1);
    if (!issued) throw new Error('no key');
    await fleet.keys.revoke(probe.apiKey.id);
    await until(async () => (await ask(probe.key)) === 401);
    const { key, apiKey } = issued;
    const { proxy } = fleet.member(PATIENT);
    const answer = proxy.holdAnswerTo(digestOf(key));
    const first = call(fleet.urls, PATIENT, key);
    await answer.given;
    return { key, apiKey, proxy, answer, first };
  }

  const ask = async (key: string) => (await call(fleet.urls, PATIENT, key)).status;

  /**
   * Revokes a key, and waits until the patient instance has heard it: as it has heard the end of
   * another, later one.
   */
  async function revokeHeard(id: string, later: IssuedApiKey): Promise<void> {
    await fleet.keys.revoke(id);
    await fleet.keys.revoke(later.apiKey.id);
    await until(async () => (await ask(later.key)) === 401);
  }

  /** A key that every instance remembers. */
  async function warmKey(): Promise<IssuedApiKey> {
    const [issued] = await fleet.issue(1);
    if (!issued) throw new Error('no key');
    await fleet.warm([issued.key]);
    return issued;
  }

  it('even if a look-up was paused in flight and ends after the key was revoked', async () => {
    const later = await warmKey();
    const { key, apiKey, answer, first } = await slowLookUp();
    await revokeHeard(apiKey.id, later);
    answer.release();
    expect((await first).status).toBe(200);
    for (let i = 0; i < 20; i++) expect(await ask(key)).toBe(401);
  });

  it.each([
    'heard of the revocation',
    'heard nothing',
  ])('even if an instance that %s still has a slow look-up in flight that they could join', async (heard) => {
    const later = await warmKey();
    const { key, apiKey, proxy, answer, first } = await slowLookUp();
    if (heard === 'heard nothing') {
      proxy.silence('feed');
      await fleet.keys.revoke(apiKey.id, { everywhere: true });
    } else await revokeHeard(apiKey.id, later);
    expect(await Promise.all(Array.from({ length: 20 }, () => ask(key)))).toEqual(Array(20).fill(401));
    answer.release();
    expect((await first).status).toBe(200);
    for (let i = 0; i < 20; i++) expect(await ask(key)).toBe(401);
    await proxy.mend();
  });

  it('and wall clocks set a day forward, a day back and right again neither revive an expired key nor refuse a valid one', async () => {
    const [live, ending] = [await fleet.issue(KEYS), await fleet.issue(HOT_KEYS)];
    const [ids, soon] = [ending.map(({ apiKey }) => apiKey.id), 8_000];
    const before = performance.now();
    await sql(
      fleet.database,
      `UPDATE api_keys SET expires_at = clock_timestamp() + interval '${soon} ms' WHERE id IN (${ids})`,
    );
    const updated = performance.now();
    const under = loadWith([...ending, ...live]);
    const untilMany = async (since: number) =>
      until(() =>
        fleet.urls.every(
          (_, at) => under.calls.filter((made) => made.at === at && made.startedAt > since).length > 200,
        ),
      );
    for (let jump = 0; jump < 3; jump++) {
      for (const at of fleet.urls.keys()) fleet.member(at).sample.process.kill('SIGUSR2');
      await untilMany(performance.now());
      if (jump === 0) await until(() => performance.now() > updated + soon);
    }
    await untilMany(performance.now());
    await under.stop();
    const ends = new Set(ending.map(({ key }) => key));
    const judgedAs = (calls: readonly Call[]) =>
      new Set(calls.map(({ status }) => status).filter((status) => status !== 503));
    expect(judgedAs(under.calls.filter(({ key }) => !ends.has(key)))).toEqual(new Set([200]));
    const ofEnding = under.calls.filter(({ key }) => ends.has(key));
    const alive = ofEnding.filter(({ endedAt }) => endedAt < before + soon - 1_000);
    const expired = ofEnding.filter(({ startedAt }) => startedAt > updated + soon);
    expect(judgedAs(alive)).toEqual(new Set([200]));
    expect(judgedAs(expired)).toEqual(new Set([401]));
  });

  it('even if the feed was lost and restored between a look-up and its answer', async () => {
    const { key, apiKey, proxy, answer, first } = await slowLookUp();
    const [warm, later] = await fleet.issue(2);
    await fleet.warm([warm?.key ?? '']);
    proxy.silence('feed');
    await fleet.keys.revoke(apiKey.id);
    await fleet.keys.revoke(warm?.apiKey.id ?? '');
    proxy.cutFeed();
    await fleet.warm([later?.key ?? '']);
    answer.release();
    expect((await first).status).toBe(200);
    for (let i = 0; i < 20; i++) expect([await ask(key), await ask(warm?.key ?? '')]).toEqual([401, 401]);
  });
});

describe('instances with different trust bounds, one of them with a cache of ten keys, accept no ended key either,', () => {
  beforeAll(async () => {
    fleet = await Fleet.start(MIXED);
  });
  afterAll(() => fleet.stop());

  it('if nothing fails', async () => {
    expect(await acceptedThough({})).toEqual([]);
  });

  it.each([0, 1, 2, 3])('even if the feed of instance %s is stalled', async (at) => {
    const { proxy } = fleet.member(at);
    const accepted = await acceptedThough({ before: () => proxy.silence('feed'), mend: proxy.mend });
    expect(accepted).toEqual([]);
  });
});
