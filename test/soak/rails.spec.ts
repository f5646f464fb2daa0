import { adoptsRails } from '../support/rails-adoption';

describe.each([
  'America/Los_Angeles',
  'UTC',
])('the database of a Rails app, adopted by a process in %s,', (zone) => adoptsRails(zone)());
