import { Pool } from 'pg';
import { importCompared } from '../compared';
import { POOL_SIZE } from '../variants/connection';
import type { Call } from './call';

const SCHEMA = 'better_auth';
const KEYS = 100;

/** The parts of `better-auth` and `@better-auth/api-key` that the benchmark uses. */
interface BetterAuth {
  betterAuth(options: object): {
    readonly options: object;
    readonly api: {
      signUpEmail(input: object): Promise<{ user: { id: string } }>;
      createApiKey(input: object): Promise<{ key: string }>;
      verifyApiKey(input: object): Promise<{ valid: boolean; error: unknown }>;
    };
  };
}
interface ApiKeyPlugin {
  apiKey(options: object): object;
}
interface Migrations {
  getMigrations(options: object): Promise<{ runMigrations(): Promise<void> }>;
}

/**
 * Returns a call of better-auth's `verifyApiKey` with database storage. The rate limit is on, as it
 * is by default. The rate limit is so large that no key reaches the limit.
 */
export async function betterAuthVerify(databaseUrl: string): Promise<Call> {
  const { betterAuth } = await importCompared<BetterAuth>('better-auth');
  const { apiKey } = await importCompared<ApiKeyPlugin>('@better-auth/api-key');
  const { getMigrations } = await importCompared<Migrations>('better-auth/db/migration');
  const rateLimit = { enabled: true, timeWindow: 86_400_000, maxRequests: 1_000_000_000 };
  const auth = betterAuth({
    secret: 'only for measurements, 32 characters',
    baseURL: 'http://127.0.0.1',
    database: await poolOf(databaseUrl),
    emailAndPassword: { enabled: true },
    plugins: [apiKey({ rateLimit })],
    telemetry: { enabled: false },
    logger: { disabled: true },
  });
  await (await getMigrations(auth.options)).runMigrations();
  const keys = await createKeys(auth.api);
  let next = 0;
  return async () => {
    const { valid, error } = await auth.api.verifyApiKey({ body: { key: keys[next++ % keys.length] } });
    if (!valid) throw new Error(`A valid key was refused: ${JSON.stringify(error)}`);
  };
}

/** Creates a pool of connections whose tables are in a separate schema. */
async function poolOf(databaseUrl: string): Promise<Pool> {
  const pool = new Pool({
    connectionString: databaseUrl,
    max: POOL_SIZE,
    options: `-c search_path=${SCHEMA}`,
  });
  await pool.query(`CREATE SCHEMA IF NOT EXISTS ${SCHEMA}`);
  return pool;
}

async function createKeys(api: ReturnType<BetterAuth['betterAuth']>['api']): Promise<string[]> {
  const body = { email: 'bench@example.com', name: 'bench', password: 'only for measurements' };
  const { user } = await api.signUpEmail({ body });
  const keys: string[] = [];
  while (keys.length < KEYS) keys.push((await api.createApiKey({ body: { userId: user.id } })).key);
  return keys;
}
