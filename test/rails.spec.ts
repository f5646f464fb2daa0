import { createRailsDatabase, RAILS_KEYS } from './support/rails';
import { adoptsRails } from './support/rails-adoption';
import { startSample } from './support/sample';

describe('the database of a Rails app, adopted by a process in Asia/Kolkata,', adoptsRails('Asia/Kolkata'));

it('where API_KEY_FORMAT is not set, an adopted table keeps accepting and minting the Rails form', async () => {
  const database = await createRailsDatabase();
  const sample = await startSample({ DATABASE_URL: database });
  const [first] = RAILS_KEYS;
  const response = await fetch(`${sample.url}/me`, { headers: { 'x-api-key': first?.key ?? '' } });
  await sample.stop();
  expect(response.status).toBe(200);
  expect(sample.output()).not.toContain('here is a key to try');
});
