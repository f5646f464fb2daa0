import { ApiKey, describeKey } from '../index';
import { renderInspection } from './render-inspection';

const apiKey = Object.assign(new ApiKey(), {
  id: '7',
  userId: '42',
  name: 'ci',
  keyPrefix: 'acme_live_3fKd',
  scopes: [],
  ancestorIds: [],
  metadata: {},
  createdAt: new Date(0),
  expiresAt: null,
  revokedAt: null,
  disabledAt: null,
});
const FIELDS = describeKey(apiKey, new Date(0));

it('a program that loads no controllers of the application says that it knows no routes', () => {
  const shown = renderInspection({ ...FIELDS, reason: null, routes: [] } as never);
  expect(shown.split('\n\n')).toEqual([
    'ACCEPTED',
    expect.stringContaining('acme_live_3fKd'),
    'No routes: this program does not load the controllers of the application, or none needs a key.',
  ]);
});
