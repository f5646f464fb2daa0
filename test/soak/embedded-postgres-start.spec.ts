import { once } from 'node:events';
import { inPlace, status } from '../support/embedded-place';
import { demoKey, runKeys } from '../support/sample';
import { until } from '../support/until';

it.concurrent(
  'an empty database is prepared with a line of progress, and the printed curl line is answered with 200',
  inPlace(async ({ start }) => {
    const sample = await start();
    await demoKey(sample);
    expect(sample.output()).toContain('Preparing an embedded PostgreSQL ...');
    const [, header = '', url = ''] = /curl -H 'Authorization: ([^']+)' (\S+)/.exec(sample.output()) ?? [];
    const response = await fetch(url, { headers: { authorization: header } });
    expect(response.status).toBe(200);
    expect(((await response.json()) as { items: unknown[] }).items).toHaveLength(2);
  }),
);

it.concurrent(
  'after SIGTERM no server is left, and the next start finds the data and prints no key',
  inPlace(async ({ start, serverPid }) => {
    const first = await start();
    const key = await demoKey(first);
    expect(await first.stop()).toBe(0);
    await until(() => serverPid() === null);
    const second = await start();
    expect(await status(second, key)).toBe(200);
    expect(second.output()).not.toMatch(/acme_live_[0-9A-Za-z]{49}|Preparing/);
  }),
);

it.concurrent(
  'the command line works whether the app runs or not, and leaves no server behind',
  inPlace(async ({ dataDir, start, serverPid }) => {
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
  }),
);

it.concurrent(
  'Ctrl-C, which reaches the whole process group twice through npm, ends the app once and cleanly',
  inPlace(async ({ start, serverPid }) => {
    const sample = await start();
    sample.process.kill('SIGINT');
    sample.process.kill('SIGINT');
    await once(sample.process, 'exit');
    expect(sample.process.exitCode).toBe(0);
    await until(() => serverPid() === null);
  }),
);
