import {
  type Acting,
  ApiKeyAuthorityError,
  ApiKeyConflictError,
  ApiKeyGuard,
  ApiKeyInputError,
  type ApiKeyOptions,
  ApiKeyPolicyError,
  ApiKeyRefusal,
  type ApiKeyService,
  type CreateApiKeyInput,
  type IssuedApiKey,
  ScopesGuard,
} from 'nestjs-api-key';
import { ApiKeyManagementModule } from 'nestjs-api-key/management';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { digestOf } from './support/digest';
import { runKeysHere } from './support/keys-here';

/*
 * Every way in which a key can come to be or change, by each maker, against every rule of the
 * policy and of environments. A refused call must leave all rows as they were.
 */

const DAY_MS = 86_400_000;
const OPTIONS: ApiKeyOptions = {
  prefix: { live: 'acme_live', test: 'acme_test' },
  policy: { maxLifetimeDays: 90, defaultLifetimeDays: 30, maxActiveKeys: 4, endUnusedAfterDays: 60 },
  audit: { refused: 'off' },
  usage: { lastUsedIntervalMs: 3_600_000 },
};

let database: string;
let app: TestApp;
let keys: ApiKeyService;
let userId: string;
/** The acting key: live, with all scopes, and about to expire when the policy demands it. */
let manager: IssuedApiKey;

beforeAll(async () => {
  database = await createMigratedDatabase();
  const imports = [ApiKeyManagementModule.forRoot({ guards: [ApiKeyGuard, ScopesGuard] })];
  app = await bootApp({ database, imports, options: OPTIONS });
  keys = app.keys;
});

afterAll(() => app.close());

beforeEach(async () => {
  userId = await createUser(database);
  manager = await create({ scopes: ['*'], expiresAt: inDays(90), environment: 'live' });
});

const inDays = (days: number) => new Date(Date.now() + days * DAY_MS);

const create = (fields: object, acting: Acting = {}) =>
  keys.create({ userId, name: 'x', ...fields } as CreateApiKeyInput, acting);

/** What a call asks for. A field that is missing is not asked for. */
interface Asked {
  /** From now; null: never. */
  readonly days?: number | null;
  /** Of a new key. If it is missing, people ask for live, and a key for none. null: none. */
  readonly environment?: string | null;
}

/** A refusal by REST, the command line or an import, by its code or rule. */
class Refused extends Error {}

async function rest(method: string, path: string, body: object): Promise<void> {
  const response = await fetch(`${app.url}/api-keys${path}`, {
    method,
    headers: { authorization: `Bearer ${manager.key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const { error, rule } = (await response.json()) as { error?: string; rule?: string };
  if (!response.ok) throw new Refused(rule ?? error);
}

async function cli(args: readonly string[], input = ''): Promise<void> {
  const { code, stderr } = await runKeysHere(app, [...args, '--json'], async () => userId, input);
  const rule = /\(policy\.(\w+)\)/.exec(stderr)?.[1];
  if (code !== 0) throw new Refused(rule ?? (code === 2 ? 'INVALID_REQUEST' : 'CONFLICT'));
}

let imported = 0;
const lineOf = ({ days, environment }: Asked) => ({
  userId,
  name: 'imported',
  keyDigest: digestOf(`every way ${imported++}`),
  keyPrefix: environment === null ? 'ab12cd34' : `acme_${environment ?? 'live'}_ab12`,
  ...(days !== undefined && { expiresAt: days === null ? null : inDays(days).toISOString() }),
});

async function importLine(asked: Asked): Promise<void> {
  const { problems } = await keys.import([lineOf(asked)]);
  const [first] = problems;
  if (first) throw new Refused(/\(policy\.(\w+)\)/.exec(first.problem)?.[1] ?? 'INVALID_REQUEST');
}

async function importByCli(asked: Asked): Promise<void> {
  const args = ['import', '--file', '-'];
  const input = `${JSON.stringify(lineOf(asked))}\n`;
  const { code, stderr } = await runKeysHere(app, args, undefined, input);
  if (code !== 0) throw new Refused(/\(policy\.(\w+)\)/.exec(stderr)?.[1] ?? 'INVALID_REQUEST');
}

const expiryOf = ({ days }: Asked) =>
  days === undefined ? {} : { expiresAt: days === null ? null : inDays(days) };
const bodyOf = (asked: Asked) => JSON.parse(JSON.stringify(expiryOf(asked)));
const named = ({ environment }: Asked) => (environment ? { environment } : {});
const namedByPeople = ({ environment = 'live' }: Asked) => named({ environment });
const expiresIn = ({ days }: Asked) =>
  days === undefined ? [] : ['--expires-in', days === null ? 'never' : `${days}d`];
const ofEnvironment = ({ environment = 'live' }: Asked) =>
  environment === null ? [] : ['--environment', environment];
const CREATE = ['create', '--user', 'a@example.com', '--name', 'x', '--scopes', ''];
/** An update that asks for nothing else changes the name. */
const NAME = { name: 'new' };

type Verb = 'create' | 'import' | 'rotate' | 'update' | 'disable' | 'enable';
type Call = (id: string, asked: Asked) => Promise<unknown>;

/** The calls of the service on somebody's behalf. */
const ofService = (acting: () => Acting): Partial<Record<Verb, Call>> => ({
  create: (_, asked) => {
    const environment = acting().apiKey ? named(asked) : namedByPeople(asked);
    return create({ ...expiryOf(asked), ...environment }, acting());
  },
  rotate: (id, asked) => keys.rotate(id, expiryOf(asked), acting()),
  update: (id, asked) => keys.update(id, { ...NAME, ...expiryOf(asked) }, acting()),
  disable: (id) => keys.disable(id, {}, acting()),
  enable: (id) => keys.enable(id, {}, acting()),
});

/** Everything that can make or change a key. */
const MAKERS = {
  'the application': { ...ofService(() => ({})), import: (_, asked) => importLine(asked) },
  'a user': ofService(() => ({ userId })),
  'a key': ofService(() => ({ apiKey: manager.apiKey })),
  REST: {
    create: (_, asked) => rest('POST', '', { name: 'x', ...bodyOf(asked), ...named(asked) }),
    rotate: (id) => rest('POST', `/${id}/rotate`, {}),
    update: (id, asked) => rest('PATCH', `/${id}`, { ...NAME, ...bodyOf(asked) }),
    disable: (id) => rest('POST', `/${id}/disable`, {}),
    enable: (id) => rest('POST', `/${id}/enable`, {}),
  },
  'the command line': {
    create: (_, asked) => cli([...CREATE, ...expiresIn(asked), ...ofEnvironment(asked)]),
    import: (_, asked) => importByCli(asked),
    rotate: (id) => cli(['rotate', id]),
    update: (id, asked) => cli(['update', id, '--name', 'new', ...expiresIn(asked)]),
    disable: (id) => cli(['disable', id]),
    enable: (id) => cli(['enable', id]),
  },
} satisfies Record<string, Partial<Record<Verb, Call>>>;

type Maker = keyof typeof MAKERS;
const BY_KEY: readonly Maker[] = ['a key', 'REST'];
/** Ways that name an expiry for a successor. */
const NAMES_EXPIRY: readonly Maker[] = ['the application', 'a user', 'a key'];

/** A way: a maker, and what it does. */
interface Way {
  readonly maker: Maker;
  readonly verb: Verb;
  readonly call: Call;
  readonly isByKey: boolean;
}
const WAYS: readonly Way[] = Object.entries(MAKERS).flatMap(([maker, calls]) =>
  Object.entries(calls as Partial<Record<Verb, Call>>).map(([verb, call]) => ({
    maker: maker as Maker,
    verb: verb as Verb,
    call,
    isByKey: BY_KEY.includes(maker as Maker),
  })),
);

/** What a way is expected to do: the code or rule that refuses, or what the key has then. */
interface Rule {
  readonly name: string;
  readonly asked: Asked;
  /** Changes the key, or its owner's keys, before the call. */
  readonly before?: (id: string, way: Way) => Promise<unknown>;
  /** Changes the key after it was disabled, and before it is enabled. */
  readonly meanwhile?: (id: string) => Promise<unknown>;
  /** Environment of the key; live if it is missing. */
  readonly of?: string;
  /** Whether a way differs from that of the rule that asks for nothing. Default: all ways do. */
  readonly concerns?: (way: Way) => boolean;
  readonly expected: (way: Way) => string | Partial<Seen>;
}

interface Seen {
  /** Days from the creation to the expiry, or to the expiry that comes back. */
  readonly days: number | null;
  readonly environment: string | null;
  readonly state: string;
}

const set = (id: string, column: string, value: string) =>
  sql(database, `UPDATE api_keys SET ${column} = ${value} WHERE id = $1`, [id]);
const isNew = ({ verb }: Way) => verb === 'create' || verb === 'import';
const fill = async () => {
  for (let i = 0; i < 9; i++) await create({ environment: 'live' }).catch(() => {});
};

const RULES: readonly Rule[] = [
  {
    name: 'an expiry beyond maxLifetimeDays',
    asked: { days: 91 },
    before: (id, { verb }) =>
      verb === 'rotate' || verb === 'disable'
        ? set(id, 'expires_at', `created_at + interval '12000 hours'`)
        : Promise.resolve(),
    meanwhile: (id) => set(id, 'expires_at', `created_at + interval '2184 hours'`),
    expected: ({ verb, maker, isByKey }) => {
      if (verb === 'disable') return { days: 500 };
      if (verb === 'enable' && isByKey) return 'EXCEEDS_API_KEY';
      return verb === 'rotate' && !NAMES_EXPIRY.includes(maker) ? { days: 90 } : 'maxLifetimeDays';
    },
  },
  {
    name: 'no expiry',
    asked: { days: null },
    before: (id, { verb }) =>
      verb === 'rotate' || verb === 'disable' ? set(id, 'expires_at', 'NULL') : Promise.resolve(),
    meanwhile: (id) => set(id, 'expires_at', 'NULL'),
    expected: ({ verb, maker, isByKey }) => {
      if (verb === 'disable') return { days: null };
      if (verb === 'enable' && isByKey) return 'EXCEEDS_API_KEY';
      return verb === 'rotate' && !NAMES_EXPIRY.includes(maker) ? { days: 30 } : 'allowNever';
    },
  },
  {
    name: 'the longest lifetime',
    asked: { days: 90 },
    meanwhile: (id) => set(id, 'expires_at', `created_at + interval '2160 hours'`),
    expected: ({ verb, maker, isByKey }) => {
      if (verb === 'rotate' && !NAMES_EXPIRY.includes(maker)) return { days: 10 };
      if (verb === 'disable') return { days: 10 };
      return isByKey ? 'EXCEEDS_API_KEY' : { days: 90 };
    },
  },
  {
    name: 'nothing, so that the default lifetime or that of the key counts',
    asked: {},
    expected: (way) => ({ days: isNew(way) ? 30 : 10, environment: 'live' }),
  },
  {
    name: 'one active key more than maxActiveKeys',
    asked: { days: 10 },
    before: async (id, { verb }) => {
      if (verb === 'update') await set(id, 'expires_at', 'now()');
      if (verb === 'rotate') {
        const first = (await create({ environment: 'live' })).apiKey;
        await sql(database, 'UPDATE api_keys SET bucket_id = $2 WHERE id = $1', [id, first.id]);
      }
      await fill();
    },
    expected: ({ verb, isByKey }) => {
      if (verb === 'disable' || verb === 'enable') return { days: 10 };
      return verb === 'update' && isByKey ? 'CONFLICT' : 'maxActiveKeys';
    },
  },
  {
    name: 'a key that nobody used for endUnusedAfterDays',
    asked: {},
    before: async (id, { verb }) => {
      if (verb !== 'enable') await set(id, 'created_at', `now() - interval '1441 hours'`);
    },
    meanwhile: (id) => set(id, 'created_at', `now() - interval '1441 hours'`),
    expected: (way) => {
      if (isNew(way)) return { state: 'active' };
      if (way.verb === 'rotate') return 'CONFLICT';
      if (way.verb === 'enable') return way.isByKey ? 'CONFLICT' : { state: 'expired' };
      return { state: way.verb === 'disable' ? 'disabled' : 'expired' };
    },
  },
  {
    name: 'a key of its own environment',
    asked: { environment: 'live' },
    concerns: ({ verb, isByKey }) => verb === 'create' && isByKey,
    expected: () => ({ environment: 'live' }),
  },
  {
    name: 'a key without naming an environment',
    asked: { environment: null },
    concerns: (way) => isNew(way) && !(way.verb === 'create' && way.isByKey),
    expected: ({ verb }) => (verb === 'create' ? 'INVALID_REQUEST' : { environment: null }),
  },
  {
    name: 'a key of another environment',
    asked: { environment: 'test' },
    of: 'test',
    expected: ({ isByKey }) => (isByKey ? 'EXCEEDS_API_KEY' : { environment: 'test' }),
  },
  {
    name: 'a key of an unknown environment',
    asked: { environment: 'staging' },
    before: (id) => set(id, 'key_prefix', `'acme_staging_ab12'`),
    expected: (way) => {
      if (isNew(way)) return 'INVALID_REQUEST';
      if (way.isByKey) return 'EXCEEDS_API_KEY';
      return way.verb === 'rotate' ? 'CONFLICT' : { environment: null };
    },
  },
  {
    name: 'anything by a key that has ended unused',
    asked: { environment: 'live' },
    concerns: ({ isByKey }) => isByKey,
    before: () => set(manager.apiKey.id, 'created_at', `now() - interval '1441 hours'`),
    expected: () => 'INVALID_API_KEY',
  },
  {
    name: 'anything by a key that is disabled',
    asked: { environment: 'live' },
    concerns: ({ isByKey }) => isByKey,
    before: () => keys.disable(manager.apiKey.id),
    expected: () => 'INVALID_API_KEY',
  },
];

function codeOf(error: unknown): string {
  if (error instanceof Refused) return error.message;
  if (error instanceof ApiKeyPolicyError) return error.rule;
  if (error instanceof ApiKeyAuthorityError) return 'EXCEEDS_API_KEY';
  if (error instanceof ApiKeyConflictError) return 'CONFLICT';
  if (error instanceof ApiKeyInputError) return 'INVALID_REQUEST';
  if (error instanceof ApiKeyRefusal) return error.code;
  throw error;
}

const rows = () =>
  sql<{ id: string }>(database, 'SELECT * FROM api_keys WHERE user_id = $1 ORDER BY id', [userId]);

async function seen(id: string): Promise<Seen> {
  const apiKey = await keys.get(id);
  if (!apiKey) throw new Error(`there is no key ${id}`);
  const { expiresAt, createdAt, environment } = apiKey;
  const days = expiresAt && Math.round((expiresAt.getTime() - createdAt.getTime()) / DAY_MS);
  return { days, environment, state: apiKey.stateAt() };
}

/** Disables the key by the key that will enable it, if that key may; otherwise as people do. */
async function disableFor({ maker, isByKey }: Way, id: string, of: string): Promise<unknown> {
  const { disable } = MAKERS[maker] as Partial<Record<Verb, Call>>;
  return isByKey && of === 'live' ? disable?.(id, {}) : keys.disable(id);
}

it('the table has every way of every maker', () => {
  const ways = WAYS.map(({ maker, verb }) => `${maker} ${verb}`);
  expect(ways).toHaveLength(27);
  expect(new Set(ways).size).toBe(27);
});

describe.each(RULES)('$name:', ({
  asked,
  before,
  meanwhile,
  of = 'live',
  concerns = () => true,
  expected,
}) => {
  it.each(
    WAYS.filter(concerns),
  )('$maker that would $verb is refused without effect, or the key has what the rule allows', async (way) => {
    const target = (await create({ expiresAt: inDays(10), environment: of })).apiKey.id;
    if (way.verb === 'enable') {
      await disableFor(way, target, of);
      await meanwhile?.(target);
    }
    await before?.(target, way);
    const rowsBefore = await rows();
    const outcome = await way.call(target, asked).then(
      () => null,
      (error: unknown) => codeOf(error),
    );
    const wanted = expected(way);
    if (typeof wanted === 'string') {
      expect(outcome).toBe(wanted);
      expect(await rows()).toEqual(rowsBefore);
      return;
    }
    expect(outcome).toBeNull();
    const newest = (await rows()).at(-1)?.id;
    const id = isNew(way) || way.verb === 'rotate' ? newest : target;
    expect(await seen(String(id))).toMatchObject(wanted);
  });
});
