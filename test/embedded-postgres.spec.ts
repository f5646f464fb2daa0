import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeFolder, temporaryFolder } from './support/folder';
import { demoKey, runKeys, type Sample, startSample } from './support/sample';
import { until } from './support/until';

let dataDir: string;
const started: Sample[] = [];

beforeEach(() => {
  dataDir = join(temporaryFolder(), 'data');
});

afterEach(async () => {
  await Promise.all(started.splice(0).map((sample) => sample.stop()));
  removeFolder(join(dataDir, '..'));
});

async function start(env: Record<string, string> = {}): Promise<Sample> {
  const sample = await startSample({ DATA_DIR: dataDir, ...env });
  started.push(sample);
  return sample;
}

const pidFile = () => join(realpathSync(join(dataDir, 'postgres')), 'postmaster.pid');
const serverPid = () =>
  existsSync(pidFile()) ? Number(readFileSync(pidFile(), 'utf8').split('\n')[0]) : null;
const status = async (sample: Sample, key: string) =>
  (await fetch(`${sample.url}/orders`, { headers: { 'x-api-key': key } })).status;

async function kill(sample: Sample): Promise<void> {
  sample.process.kill('SIGKILL');
  await once(sample.process, 'exit');
}

it('an empty database is prepared with a line of progress, and the printed curl line is answered with 200', async () => {
  const sample = await start();
  await demoKey(sample);
  expect(sample.output()).toContain('Preparing an embedded PostgreSQL ...');
  const [, header = '', url = ''] = /curl -H 'Authorization: ([^']+)' (\S+)/.exec(sample.output()) ?? [];
  const response = await fetch(url, { headers: { authorization: header } });
  expect(response.status).toBe(200);
  expect(((await response.json()) as { items: unknown[] }).items).toHaveLength(2);
});

it('after SIGTERM no server is left, and the next start finds the data and prints no key', async () => {
  const first = await start();
  const key = await demoKey(first);
  expect(await first.stop()).toBe(0);
  await until(() => serverPid() === null);
  const second = await start();
  expect(await status(second, key)).toBe(200);
  expect(second.output()).not.toMatch(/acme_live_[0-9A-Za-z]{49}|Preparing/);
});

it('after a kill -9 of the app its server is found again and used', async () => {
  const first = await start();
  const key = await demoKey(first);
  const pid = serverPid();
  await kill(first);
  expect(serverPid()).toBe(pid);
  const second = await start();
  expect(serverPid()).toBe(pid);
  expect(await status(second, key)).toBe(200);
  await second.stop();
  await until(() => serverPid() === null);
});

it('after a kill -9 of app and server the data is there', async () => {
  const first = await start();
  const key = await demoKey(first);
  process.kill(serverPid() ?? 0, 'SIGKILL');
  await kill(first);
  expect(await status(await start(), key)).toBe(200);
});

it('a process number in an old postmaster.pid that is someone else’s by now does not stop the start', async () => {
  const first = await start();
  const key = await demoKey(first);
  const before = readFileSync(pidFile(), 'utf8');
  await first.stop();
  writeFileSync(pidFile(), before.replace(/^\d+/, String(process.pid)));
  expect(await status(await start(), key)).toBe(200);
});

it('the command line works while the app runs, and when it does not, and leaves no server behind', async () => {
  const first = await start();
  await demoKey(first);
  const created = await runKeys(
    ['create', '--user', 'a@example.com', '--name', 'ci', '--scopes', 'orders:read', '--json'],
    { DATA_DIR: dataDir },
  );
  expect(await status(first, JSON.parse(created.stdout).key)).toBe(200);
  await first.stop();
  const listed = await runKeys(['list', '--json'], { DATA_DIR: dataDir });
  expect(JSON.parse(listed.stdout)).toHaveLength(2);
  expect(listed.stderr).toBe('');
  await until(() => serverPid() === null);
});

it('two processes that start at once share one server, and the last one stops it', async () => {
  const [one, two] = await Promise.all([start(), start()]);
  await until(() => (one.output() + two.output()).includes('curl -H'));
  const key = /acme_live_\w+/.exec(one.output() + two.output())?.[0] ?? '';
  await one.stop();
  expect(await status(two, key)).toBe(200);
  await two.stop();
  await until(() => serverPid() === null);
});

it('Ctrl-C, which reaches the whole process group twice through npm, ends the app once and cleanly', async () => {
  const sample = await start();
  sample.process.kill('SIGINT');
  sample.process.kill('SIGINT');
  await once(sample.process, 'exit');
  expect(sample.process.exitCode).toBe(0);
  await until(() => serverPid() === null);
});

it('a folder that others may not enter will do, also for root, whose server runs as another user', async () => {
  const closed = mkdtempSync(join(tmpdir(), 'nestjs-api-key-closed-'));
  dataDir = join(closed, 'data');
  mkdirSync(dataDir);
  const sample = await start();
  const key = await demoKey(sample);
  const cluster = realpathSync(join(dataDir, 'postgres'));
  await sample.stop();
  expect(await status(await start(), key)).toBe(200);
  await started.at(-1)?.stop();
  if (!cluster.startsWith(realpathSync(closed))) removeFolder(join(cluster, '..'));
});
