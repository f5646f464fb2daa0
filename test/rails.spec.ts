import { createRailsDatabase, RAILS_KEYS } from './support/rails';
import { adoptsRails } from './support/rails-adoption';
import { startSample } from './support/sample';

describe('the database of a Rails app, adopted by a process in Asia/Kolkata,', adoptsRails('Asia/Kolkata'));

it('an adopted table accepts and creates keys in the Rails form if API_KEY_FORMAT is not set', async () => {
  const database = await createRailsDatabase();
  const sample = await startSample({ DATABASE_URL: database });
  const [first] = RAILS_KEYS;
  const response = await fetch(`${sample.url}/me`, { headers: { 'x-api-key': first?.key ?? '' } });
  await sample.stop();
  expect(response.status).toBe(200);
  expect(sample.output()).not.toContain('here is a key to try');
});
