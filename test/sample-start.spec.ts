import { join } from 'node:path';
import { createMigratedDatabase } from './support/database';
import { startSample } from './support/sample';
import { until } from './support/until';

it('invalid environment variables stop the start of the sample with a sentence that lists them', async () => {
  const wrong = { PORT: 'x', HTTP_ADAPTER: 'koa', API_KEY_FORMAT: 'uuid', TRUST_PROXY: 'true' };
  const failure = startSample({ DATABASE_URL: await createMigratedDatabase(), ...wrong });
  const sentences = [
    'HTTP_ADAPTER must be express or fastify',
    'API_KEY_FORMAT must be checksummed or hex',
    'TRUST_PROXY must be a list of addresses or CIDR blocks',
    'PORT must be a number',
  ];
  await expect(failure).rejects.toThrow(new RegExp(sentences.join('.*')));
});

it('an unreachable database stops the start of the sample with a sentence', async () => {
  const starting = startSample({ DATABASE_URL: 'postgres://127.0.0.1:1/none' });
  await expect(starting).rejects.toThrow(
    /Cannot connect to the database \(connect ECONNREFUSED 127\.0\.0\.1:1\): check DATABASE_URL/,
  );
});

it('a data folder that cannot be created stops the start of the sample with a sentence that names DATA_DIR', async () => {
  const starting = startSample({ DATA_DIR: join(__filename, 'data') });
  await expect(starting).rejects.toThrow(
    /The folder \S+ cannot hold the database \(ENOTDIR: .*\): set DATA_DIR to a folder that you may write, or DATABASE_URL/,
  );
});

it('a start says what to try, and how to get a key if the database has keys already', async () => {
  const DATABASE_URL = await createMigratedDatabase();
  for (const [said, key] of [
    [/The database was empty, so here is a key to try\. .*:\n {2}(acme_live_\w+)\n/, 'acme_live_\\w{49}'],
    [/This database has keys already\. Create one more:\n {2}npm run -s keys -- create --user /, 'KEY'],
  ] as const) {
    const sample = await startSample({ DATABASE_URL });
    await until(() => sample.output().includes('without a key'));
    const output = sample.output();
    expect(output).toMatch(said);
    expect(output).toContain(`Try it in a browser: ${sample.url}/docs\n`);
    expect(output).toMatch(new RegExp(`curl -H 'Authorization: Bearer ${key}' ${sample.url}/orders\n`));
    await sample.stop();
  }
});
