import { createMigratedDatabase } from './support/database';
import { startSample } from './support/sample';

it.concurrent.each([
  ['PORT', 'x', /PORT must be a number/],
  ['HTTP_ADAPTER', 'koa', /HTTP_ADAPTER must be express or fastify/],
  ['API_KEY_FORMAT', 'uuid', /API_KEY_FORMAT must be checksummed or hex/],
  ['TRUST_PROXY', 'true', /TRUST_PROXY must be a list of addresses or CIDR blocks/],
  ['TRUST_PROXY', '1', /TRUST_PROXY must be a list of addresses or CIDR blocks/],
  ['DATABASE_URL', 'postgres://127.0.0.1:1/none', /ECONNREFUSED/],
])('a wrong %s of %s ends the start with a sentence', async (name, value, message) => {
  const database = await createMigratedDatabase();
  await expect(startSample({ DATABASE_URL: database, [name]: value })).rejects.toThrow(message);
});
