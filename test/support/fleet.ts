import type { ApiKeyOptions, ApiKeyService, CreateApiKeyInput, IssuedApiKey } from 'nestjs-api-key';
import { type Adapter, bootApp, type TestApp } from './app';
import { createMigratedDatabase, createUser } from './database';
import { digestOf } from './digest';
import { type FlakyProxy, flakyProxy } from './flaky-proxy';
import { call } from './load';
import { type Sample, startSample } from './sample';
import { until } from './until';

/** One instance of the sample app in a separate process, with its own proxy to the database. */
export interface Member {
  readonly sample: Sample;
  readonly proxy: FlakyProxy;
}

/** The settings of one instance. */
export interface MemberSettings {
  readonly adapter: Adapter;
  readonly options?: ApiKeyOptions;
  /**
   * Whether the instance connects to the database without a proxy. A proxy runs in the process of
   * the test, which is busy. Default: false.
   */
  readonly isDirect?: boolean;
  /** Additional environment variables of the process. */
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Instances of the sample app on one database. Another instance in the process of the test manages
 * the keys.
 */
export class Fleet {
  private constructor(
    readonly database: string,
    private readonly manager: TestApp,
    private readonly members: readonly Member[],
  ) {}

  static async start(settings: readonly MemberSettings[]): Promise<Fleet> {
    const database = await createMigratedDatabase();
    const manager = await bootApp({
      database,
      options: { prefix: 'acme_live' },
      connectTimeoutMs: 60_000,
    });
    try {
      const members = await Promise.all(settings.map((setting) => startMember(database, setting)));
      return new Fleet(database, manager, members);
    } catch (error) {
      await manager.close();
      throw error;
    }
  }

  get keys(): ApiKeyService {
    return this.manager.keys;
  }

  get urls(): string[] {
    return this.members.map(({ sample }) => sample.url);
  }

  member(at: number): Member {
    const member = this.members[at];
    if (!member) throw new Error(`the fleet has no member ${at}`);
    return member;
  }

  /** Creates a user and `count` keys of this user. */
  async issue(count: number, fields: Partial<CreateApiKeyInput> = {}): Promise<IssuedApiKey[]> {
    const input = { userId: await createUser(this.database), name: 'ci', ...fields };
    return Promise.all(Array.from({ length: count }, () => this.keys.create(input)));
  }

  /** Waits until each instance accepts each key without a look-up. */
  async warm(keys: readonly string[]): Promise<void> {
    for (const key of keys) await Promise.all(this.urls.map((_, at) => this.warmOne(at, key)));
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map(({ sample }) => sample.stop()));
    await Promise.all(this.members.map(({ proxy }) => proxy.cut()));
    await this.manager.close();
  }

  private warmOne(at: number, key: string): Promise<void> {
    const { proxy } = this.member(at);
    return until(async () => {
      const before = proxy.lookUpsOf(digestOf(key));
      const { status } = await call(this.urls, at, key);
      return status === 200 && proxy.lookUpsOf(digestOf(key)) === before;
    });
  }
}

async function startMember(
  database: string,
  { adapter, options = {}, isDirect = false, env = {} }: MemberSettings,
): Promise<Member> {
  const proxy = await flakyProxy(database);
  const sample = await startSample({
    DATABASE_URL: isDirect ? database : proxy.url,
    HTTP_ADAPTER: adapter,
    API_KEY_OPTIONS: JSON.stringify(options),
    ...env,
  });
  return { sample, proxy };
}
