import { mkdtempSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inPlace, kill, status } from '../support/embedded-place';
import { removeFolder } from '../support/folder';
import { demoKey } from '../support/sample';
import { until } from '../support/until';

it.concurrent(
  'after a kill -9 of the app its server is found again and used',
  inPlace(async ({ start, serverPid }) => {
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
  }),
);

it.concurrent(
  'after a kill -9 of app and server the data is there',
  inPlace(async ({ start, serverPid }) => {
    const first = await start();
    const key = await demoKey(first);
    process.kill(serverPid() ?? 0, 'SIGKILL');
    await kill(first);
    expect(await status(await start(), key)).toBe(200);
  }),
);

it.concurrent(
  'a process number in an old postmaster.pid that is someone else’s by now does not stop the start',
  inPlace(async ({ start, pidFile }) => {
    const first = await start();
    const key = await demoKey(first);
    const before = readFileSync(pidFile(), 'utf8');
    await first.stop();
    writeFileSync(pidFile(), before.replace(/^\d+/, String(process.pid)));
    expect(await status(await start(), key)).toBe(200);
  }),
);

it.concurrent(
  'two processes that start at once share one server, and the last one stops it',
  inPlace(async ({ start, serverPid }) => {
    const [one, two] = await Promise.all([start(), start()]);
    await until(() => (one.output() + two.output()).includes('curl -H'));
    const key = /acme_live_\w+/.exec(one.output() + two.output())?.[0] ?? '';
    await one.stop();
    expect(await status(two, key)).toBe(200);
    await two.stop();
    await until(() => serverPid() === null);
  }),
);

it.concurrent(
  'a private folder is accepted, also for root, whose server runs as another user',
  inPlace(
    async ({ dataDir, start }) => {
      const sample = await start();
      const key = await demoKey(sample);
      const cluster = realpathSync(join(dataDir, 'postgres'));
      await sample.stop();
      const again = await start();
      expect(await status(again, key)).toBe(200);
      await again.stop();
      if (!cluster.startsWith(realpathSync(dataDir))) removeFolder(join(cluster, '..'));
    },
    () => mkdtempSync(join(tmpdir(), 'nestjs-api-key-closed-')),
  ),
);
