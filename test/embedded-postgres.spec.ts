import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import {
  type EmbeddedPostgres,
  runningEmbeddedPostgres,
  useEmbeddedPostgres,
} from '../src/embedded-postgres';
import { createUser, sql } from './support/database';
import { removeFolder, temporaryFolder } from './support/folder';
import { createOpenCluster } from './support/open-cluster';

const SETTINGS = ['fsync=off'];
const PASSWORDS = 'postgres-passwords.json';

/** The SQLSTATE or message of a connection in a role with a password; null if it is let in. */
async function refusal(url: string, user: string, password?: string): Promise<string | null> {
  const { port } = new URL(url);
  const client = new Client({ host: '127.0.0.1', port: Number(port), database: 'postgres', user, password });
  client.on('error', () => {});
  try {
    await client.connect();
    return null;
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    return code ?? message;
  } finally {
    await client.end();
  }
}

const methods = async (url: string) =>
  (await sql<{ method: string }>(url, 'SELECT DISTINCT auth_method AS method FROM pg_hba_file_rules')).map(
    ({ method }) => method,
  );

describe('the embedded PostgreSQL', () => {
  let dataDir: string;
  let server: EmbeddedPostgres;

  beforeAll(async () => {
    dataDir = temporaryFolder();
    server = await useEmbeddedPostgres({ dataDir, settings: SETTINGS });
  });

  afterAll(async () => {
    await server.stop();
    removeFolder(dataDir);
  });

  it.each(['postgres', 'app'])('lets no local user in as %s without the password', async (role) => {
    expect(await refusal(server.url, role, 'a guess')).toBe('28P01');
    expect(await refusal(server.url, role)).not.toBeNull();
    expect(await methods(server.url)).toEqual(['scram-sha-256']);
  });

  it('keeps two passwords in a file that only its owner can read', () => {
    const file = join(dataDir, PASSWORDS);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const passwords = Object.values(JSON.parse(readFileSync(file, 'utf8')));
    expect(new Set(passwords).size).toBe(2);
    for (const password of passwords) expect(password).toMatch(/^[0-9a-f]{64}$/);
    expect(readFileSync(join(dataDir, 'postgres.log'), 'utf8')).not.toMatch(passwords.join('|'));
  });

  it('gives the app an ordinary role, which owns its database and nothing else of the server', async () => {
    const [role] = await sql(
      server.appUrl,
      `SELECT rolname, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls,
         pg_get_userbyid(datdba) AS owner
       FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()`,
    );
    expect(role).toEqual({
      rolname: 'app',
      rolsuper: false,
      rolcreatedb: false,
      rolcreaterole: false,
      rolreplication: false,
      rolbypassrls: false,
      owner: 'app',
    });
    await expect(sql(server.appUrl, `COPY (SELECT 1) TO PROGRAM 'true'`)).rejects.toThrow(
      'permission denied',
    );
    await expect(sql(server.appUrl, 'SELECT rolpassword FROM pg_authid')).rejects.toThrow(
      'permission denied',
    );
    await sql(server.appUrl, 'CREATE TABLE of_app (); DROP TABLE of_app');
  });

  it('is found by another process with the same data folder', async () => {
    const { url, appUrl } = server;
    expect(await runningEmbeddedPostgres(dataDir)).toEqual({ url, appUrl });
    const second = await useEmbeddedPostgres({ dataDir });
    expect(second.appUrl).toBe(appUrl);
    await second.stop();
    expect(await sql(server.appUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });
});

it('a data folder whose passwords are lost or of another folder is refused with the name of the file, and works when they are back', async () => {
  const dataDir = temporaryFolder();
  const file = join(dataDir, PASSWORDS);
  await (await useEmbeddedPostgres({ dataDir, settings: SETTINGS })).stop();
  const passwords = readFileSync(file, 'utf8');
  rmSync(file);
  await expect(useEmbeddedPostgres({ dataDir, settings: SETTINGS })).rejects.toThrow(file);
  writeFileSync(file, passwords);
  await (await useEmbeddedPostgres({ dataDir, settings: SETTINGS })).stop();
  removeFolder(dataDir);
});

describe('a data folder of an earlier version, which let every local user in,', () => {
  let dataDir: string;

  beforeEach(async () => {
    dataDir = temporaryFolder();
    await createOpenCluster(dataDir, async (url) => {
      await createUser(url, 'old@example.com');
      await sql(
        url,
        `CREATE SCHEMA more; CREATE TABLE more.a (id serial PRIMARY KEY, parts int[]);
         CREATE TYPE more.mood AS ENUM ('good'); CREATE VIEW more.b AS SELECT * FROM more.a;
         CREATE FUNCTION more.f(int, "char") RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE SEQUENCE more.s;
         CREATE DOMAIN more.d AS int; CREATE TABLE more.p (id int) PARTITION BY LIST (id);
         CREATE TABLE more.p1 PARTITION OF more.p FOR VALUES IN (1); CREATE EXTENSION pgcrypto;
         CREATE MATERIALIZED VIEW more.m AS SELECT 1 AS one; CREATE PROCEDURE more.g() LANGUAGE sql AS ''`,
      );
    });
  });

  afterEach(() => {
    removeFolder(dataDir);
  });

  it('asks for passwords after the next start, and all its tables and functions belong to the role of the app', async () => {
    const server = await useEmbeddedPostgres({ dataDir, settings: SETTINGS });
    expect([await refusal(server.url, 'postgres'), await refusal(server.url, 'postgres', 'x')]).not.toContain(
      null,
    );
    expect(await sql(server.appUrl, 'SELECT email FROM users')).toEqual([{ email: 'old@example.com' }]);
    const others = await sql(
      server.url,
      `SELECT o.name FROM (
         SELECT relname AS name, relowner AS owner, relnamespace AS space, oid FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'S')
         UNION ALL SELECT proname, proowner, pronamespace, oid FROM pg_proc
         UNION ALL SELECT typname, typowner, typnamespace, oid FROM pg_type WHERE typtype IN ('e', 'd')
       ) o WHERE owner = 'postgres'::regrole AND space::regnamespace::text IN ('public', 'more')
         AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = o.oid AND d.deptype = 'e')`,
    );
    expect(others).toEqual([]);
    await sql(server.appUrl, 'ALTER TABLE more.a ADD COLUMN b int; INSERT INTO more.a (b) VALUES (1)');
    await server.stop();
    const again = await useEmbeddedPostgres({ dataDir, settings: SETTINGS });
    expect(await methods(again.url)).toEqual(['scram-sha-256']);
    expect(await sql(again.appUrl, 'SELECT b FROM more.a')).toEqual([{ b: 1 }]);
    await again.stop();
  });

  it('is not disturbed by two starts at once', async () => {
    const both = await Promise.all([
      useEmbeddedPostgres({ dataDir, settings: SETTINGS }),
      useEmbeddedPostgres({ dataDir, settings: SETTINGS }),
    ]);
    expect(both[0].appUrl).toBe(both[1].appUrl);
    expect(await sql(both[1].appUrl, 'SELECT email FROM users')).toHaveLength(1);
    for (const server of both) await server.stop();
  });
});
