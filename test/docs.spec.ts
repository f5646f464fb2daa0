import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { INestApplication, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ApiKeyService } from 'nestjs-api-key';
import { bootApp } from './support/app';
import { createEmptyDatabase, createMigratedDatabase, createUser } from './support/database';
import {
  anchorsOf,
  asCommonJs,
  compileErrors,
  documentationPages,
  linksOf,
  readPage,
  runnableSnippets,
  type Snippet,
} from './support/snippets';

/** Pages of features: each has a snippet that is compiled and run. */
const FEATURES = [
  'getting-started',
  'scopes',
  'keys',
  'policy-and-environments',
  'limits-and-quotas',
  'revocation',
  'audit-trail',
  'management-api',
  'openapi',
  'command-line',
  'https-and-proxies',
  'pepper',
  'options',
  'errors',
  'testing',
  'scaling',
  'rails',
  'operations',
].map((name) => `docs/${name}.md`);

const ROOT = join(__dirname, '..');
const SNIPPETS = runnableSnippets();
const LONGEST_LINE = 400;
/** Some wait for a lease: others go on meanwhile. */
const PAGES_AT_ONCE = 4;
const QUIET_CONSOLE = { log: () => {} };

const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

/** Files of ours in a folder of the checkout. */
function filesOf(folder: string): string[] {
  const names = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' });
  return names
    .filter((name) => /\.(?:ts|mjs)$/.test(name) && !/(?:^|\/)(?:dist|node_modules)\//.test(name))
    .map((name) => join(folder, name));
}

/**
 * The application of a snippet: that of the snippet before it on the page, else the one that all
 * pages share.
 */
interface Given {
  readonly app: INestApplication;
  readonly url: string;
}

/** What all pages share. */
interface Shared extends Given {
  readonly database: string;
}

/** Runs the module of a snippet and returns its exports. A module reads its environment at once. */
async function run(snippet: Snippet, given: object, database: string): Promise<Record<string, unknown>> {
  const AsyncFunction = (async () => {}).constructor as FunctionConstructor;
  const exported: Record<string, unknown> = {};
  const names = ['exports', 'require', 'console', ...Object.keys(given)];
  const body = new AsyncFunction(...names, asCommonJs(snippet));
  process.env.DATABASE_URL = database;
  await body(exported, require, QUIET_CONSOLE, ...Object.values(given));
  return exported;
}

async function boot(module: Type): Promise<Given> {
  const app = await NestFactory.create(module, { logger: false, abortOnError: false });
  await app.listen(0, '127.0.0.1');
  return { app, url: `http://127.0.0.1:${app.getHttpServer().address().port}` };
}

/**
 * Runs the snippets of a page in order. If a snippet exports `AppModule`, the snippets after it use
 * that application.
 */
async function runPage(snippets: readonly Snippet[], shared: Shared): Promise<void> {
  const userId = await createUser(shared.database);
  const booted: Given[] = [];
  try {
    for (const snippet of snippets) {
      const { app, url } = booted.at(-1) ?? shared;
      const apiKeyService = app.get(ApiKeyService);
      const { key, apiKey } = await apiKeyService.create({ userId, name: 'a key of the test' });
      const given = { app, apiKeyService, userId, id: apiKey.id, key, url };
      const { AppModule } = await run(snippet, given, await databaseFor(snippet, shared.database));
      if (AppModule) booted.push(await boot(AppModule as Type));
    }
  } finally {
    for (const { app } of booted) await app.close();
  }
}

/** An application that runs its migrations itself begins on an empty database. */
async function databaseFor({ code }: Snippet, migrated: string): Promise<string> {
  return /apiKeyMigrations\(/.test(code) ? createEmptyDatabase() : migrated;
}

describe('A snippet of the documentation', () => {
  const environment = { ...process.env };

  beforeAll(() => {
    process.env.API_KEY_PEPPER = 'a pepper of the test, of 32 bytes or more';
  });

  afterEach(() => {
    process.env = { ...environment, API_KEY_PEPPER: process.env.API_KEY_PEPPER };
  });

  it('compiles against the library', () => {
    expect(SNIPPETS.length).toBeGreaterThanOrEqual(FEATURES.length);
    expect(compileErrors(SNIPPETS)).toEqual([]);
  });

  it('runs to its end, on every page, and each module that it exports starts', async () => {
    const failures: string[] = [];
    const database = await createMigratedDatabase();
    const { app, url, close } = await bootApp({ database, options: { format: 'hex' } });
    const waiting = [...new Set(SNIPPETS.map(({ page }) => page))];
    const runWaiting = async () => {
      for (let page = waiting.pop(); page !== undefined; page = waiting.pop())
        await runPage(
          SNIPPETS.filter((snippet) => snippet.page === page),
          { app, url, database },
        ).catch((error) => failures.push(`${page}: ${error.stack}`));
    };
    await Promise.all(Array.from({ length: PAGES_AT_ONCE }, runWaiting));
    await close();
    expect(failures).toEqual([]);
  });
});

describe('README.md', () => {
  it('shows the real answers', async () => {
    const shown = [...readPage('README.md').matchAll(/^\| `(\d{3}) (\{.+\})` \|/gm)];
    const [module] = SNIPPETS.filter(({ page }) => page === 'README.md');
    const { AppModule } = await run(module as Snippet, {}, await createEmptyDatabase());
    const { app, url } = await boot(AppModule as Type);
    try {
      const service = app.get(ApiKeyService);
      const rateLimit = { limit: 2, windowSeconds: 3_600 };
      const { key } = await service.create({ userId: '42', name: 'ci', scopes: ['orders:read'], rateLimit });
      const answers = [
        await answerTo('GET', url, key),
        await answerTo('GET', url, 'not a key'),
        await answerTo('POST', url, key),
        await answerTo('GET', url, key),
      ];
      expect(answers).toEqual(shown.map(([, status, body]) => [Number(status), JSON.parse(String(body))]));
    } finally {
      await app.close();
    }
  });
});

/** Status and body of an answer, without the words for people. */
async function answerTo(method: string, url: string, key: string): Promise<[number, object]> {
  const headers = { Authorization: `Bearer ${key}` };
  const response = await fetch(`${url}/orders`, { method, headers });
  const body = (await response.json()) as object;
  return [response.status, 'message' in body ? { ...body, message: '…' } : body];
}

describe('The source', () => {
  it('names only pages that exist', () => {
    const sources = ['libs', 'src', 'test', 'bench', 'scripts'].flatMap((folder) => filesOf(folder));
    const named = sources.flatMap((file) =>
      [...read(file).matchAll(/\bdocs\/[\w/-]+\.md\b/g)].map(([page]) => `${file}: ${page}`),
    );
    expect(named.filter((each) => !existsSync(join(ROOT, each.split(': ')[1] ?? '')))).toEqual([]);
  });
});

describe('The documentation', () => {
  it.each(FEATURES)('has a snippet that runs on the page %s', (page) => {
    expect(SNIPPETS.some((snippet) => snippet.page === page)).toBe(true);
  });

  it.each([
    ...documentationPages(),
    'CHANGELOG.md',
    'bench/README.md',
  ])('has no broken link on %s', (page) => {
    const broken = linksOf(page).filter(
      ({ target, anchor }) =>
        !existsSync(join(ROOT, target)) ||
        (anchor !== undefined && target.endsWith('.md') && !anchorsOf(target).includes(anchor)),
    );
    expect(broken).toEqual([]);
  });

  it.each(
    documentationPages(),
  )(`has no line of prose of more than ${LONGEST_LINE} characters on %s`, (page) => {
    const long = readPage(page)
      .split('\n')
      .filter((line) => line.length > LONGEST_LINE && !line.startsWith('|'));
    expect(long).toEqual([]);
  });

  it('names every page of a feature in README.md', () => {
    const linked = linksOf('README.md').map(({ target }) => target);
    expect(FEATURES.filter((page) => !linked.includes(page))).toEqual([]);
  });

  it.each([
    ['README.md', 130],
    ['SECURITY.md', 60],
  ])('keeps %s within %d lines', (page, most) => {
    expect(readPage(page).trimEnd().split('\n').length).toBeLessThanOrEqual(most);
  });

  it.each([
    'npm ci && npm start',
    'npm ci && npm test',
  ])('has a line of its own in README.md for: %s', (line) => {
    expect(readPage('README.md').split('\n')).toContain(line);
  });
});
