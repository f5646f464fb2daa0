import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createEmptyDatabase } from '../support/database';
import { removeFolder, temporaryFolder } from '../support/folder';
import { demoKey, type Sample, startSample } from '../support/sample';

const run = promisify(execFile);

/** `openapi-typescript` 7 needs TypeScript 5, so it is not a dependency of this repository. */
const PACKAGES = ['openapi-typescript@7.13.0', 'openapi-fetch@0.17.0', 'typescript@5.9.3', '@types/node@20'];

const COMPILER_OPTIONS = {
  strict: true,
  noUncheckedIndexedAccess: true,
  module: 'nodenext',
  target: 'es2023',
  lib: ['es2023', 'dom'],
  types: ['node'],
};

const CLIENT = `
import createClient from 'openapi-fetch';
import type { components, paths } from './api.js';

const [baseUrl, key] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl, headers: { Authorization: 'Bearer ' + key } });

const me = await client.GET('/me');
const email: string | undefined = me.data?.user.email;
const order = await client.POST('/orders', { body: { item: 'A cup', quantity: 3 } });
const quantity: number | undefined = order.data?.quantity;
const page = await client.GET('/orders', { params: { query: { limit: 1 } } });
const first: string | undefined = page.data?.items[0]?.item;

const issued = await client.POST('/api-keys', { body: { name: 'ci', scopes: ['orders:read'], rateLimit: null } });
const id: string = issued.data?.id ?? '';
const path = { id };
const narrow = createClient<paths>({ baseUrl, headers: { 'X-API-Key': issued.data?.key } });
const refused = await narrow.POST('/orders', { body: { item: 'A cup', quantity: 3 } });
const missing: string[] | undefined = refused.error?.missing;
const shown = await client.GET('/api-keys/{id}', { params: { path } });
const expiry: string | null | undefined = shown.data?.expiresAt;
const invalid = await client.POST('/api-keys', { body: { name: '' } });
const excess = await client.POST('/api-keys', { body: { name: 'ci', scopes: ['*'] } });
const ended = await client.DELETE('/api-keys/{id}', { params: { path } });
const again = await client.PATCH('/api-keys/{id}', { params: { path }, body: { name: 'new' } });
const conflict: components['schemas']['ApiKeyManagementError'] | undefined =
  again.response.status === 409 ? (again.error as components['schemas']['ApiKeyManagementError']) : undefined;
const usage = await client.GET('/api-keys/{id}/usage', { params: { path } });
const requests: number | undefined = usage.data?.days[0]?.requests;
const events = await client.GET('/api-keys/{id}/events', { params: { path } });
const types: string[] | undefined = events.data?.items.map(({ type }) => type);
const open = await createClient<paths>({ baseUrl }).GET('/health');

// @ts-expect-error the quantity is a number
client.POST('/orders', { body: { item: 'A cup', quantity: '3' } }).catch(() => {});
// @ts-expect-error a key needs a name
client.POST('/api-keys', { body: {} }).catch(() => {});

console.log(
  JSON.stringify({
    email, quantity, first, missing, expiry, requests: typeof requests, types,
    errors: [refused, invalid, excess].map(({ error }) => error?.error).concat(conflict?.error),
    statuses: [ended, open].map(({ response }) => response.status),
  }),
);
`;

describe('a client that openapi-typescript generates from the document of the sample', () => {
  let folder: string;
  let sample: Sample;
  beforeAll(() => (folder = temporaryFolder()));
  afterAll(async () => {
    await sample?.stop();
    removeFolder(folder);
  });

  it('compiles, and calls the sample with the types of its answers and errors', async () => {
    sample = await startSample({ DATABASE_URL: await createEmptyDatabase() });
    const key = await demoKey(sample);
    await writeClient(folder, await (await fetch(`${sample.url}/openapi.json`)).text());
    const bin = (name: string) => join(folder, 'node_modules/.bin', name);
    await run(bin('openapi-typescript'), ['openapi.json', '-o', 'api.d.ts'], { cwd: folder });
    const compiled = await run(bin('tsc'), [], { cwd: folder }).catch((error) => error);
    expect(compiled.stdout).toBe('');
    const { stdout } = await run(process.execPath, ['client.js', sample.url, key], { cwd: folder });
    expect(JSON.parse(stdout)).toEqual({
      email: 'demo@example.com',
      quantity: 3,
      first: 'A cup',
      missing: ['orders:write'],
      expiry: null,
      requests: expect.stringMatching(/^(?:number|undefined)$/),
      types: expect.arrayContaining(['created', 'revoked']),
      errors: ['INSUFFICIENT_SCOPE', 'INVALID_REQUEST', 'EXCEEDS_API_KEY', 'CONFLICT'],
      statuses: [204, 200],
    });
  });
});

async function writeClient(folder: string, document: string): Promise<void> {
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module', private: true }));
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: COMPILER_OPTIONS }));
  writeFileSync(join(folder, 'openapi.json'), document);
  writeFileSync(join(folder, 'client.ts'), CLIENT);
  const options = ['--no-audit', '--no-fund', '--fetch-retries=5', '--ignore-scripts'];
  await run('npm', ['install', ...options, ...PACKAGES], { cwd: folder });
}
