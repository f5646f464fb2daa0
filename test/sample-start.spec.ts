import { createMigratedDatabase } from './support/database';
import { startSample } from './support/sample';

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
  await expect(starting).rejects.toThrow(/ECONNREFUSED/);
});
