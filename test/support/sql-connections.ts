import { Client, Pool, type QueryResult } from 'pg';
import { TRUSTED_CLIENT } from './hostile';

/** Several statements, or one that changes its session. */
const CHANGES_SESSION =
  /;\s*\S|^\s*(BEGIN|DECLARE|LISTEN|LOAD|LOCK|PREPARE|RESET|SET|START)\b|advisory|set_config/i;

/**
 * Connections to databases of the test server, kept for the statements of one test file. A
 * connection costs PostgreSQL far more CPU time than a statement.
 */
const pools = new Map<string, Pool>();
let isOver = false;

if (typeof afterAll === 'function')
  afterAll(async () => {
    isOver = true;
    await Promise.all([...pools.values()].map((pool) => pool.end()));
  });

/**
 * Runs statements on a kept connection, or on a new one if a session that is used again could tell.
 */
export async function runSql(url: string, text: string, values?: unknown[]): Promise<QueryResult> {
  const isKept = !isOver && isOfTestServer(url) && !CHANGES_SESSION.test(text);
  if (isKept) return poolOf(url).query(text, values);
  const client = new Client({ connectionString: url, ...TRUSTED_CLIENT });
  client.on('error', () => {}); // a server that is stopped sends an error after the answer
  await client.connect();
  try {
    return await client.query(text, values);
  } finally {
    await client.end();
  }
}

/** Tests stop and start other servers, and connect to them by other roles. */
function isOfTestServer(url: string): boolean {
  const [one, other] = [new URL(url), new URL(process.env.TEST_POSTGRES_URL ?? url)];
  return one.host === other.host && one.username === other.username && one.search === other.search;
}

function poolOf(url: string): Pool {
  const known = pools.get(url);
  if (known) return known;
  const pool = new Pool({
    connectionString: url,
    ...TRUSTED_CLIENT,
    idleTimeoutMillis: 2000,
    allowExitOnIdle: true,
  });
  pool.on('error', () => {}); // a test ended the connection
  pools.set(url, pool);
  return pool;
}
