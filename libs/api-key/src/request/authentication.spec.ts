import { ApiKey } from '../api-key.entity';
import { attachAuthentication, authenticationOf } from './authentication';

const apiKey = new ApiKey();
const user = { id: '1' };

it('a request that was authenticated says so, and to whom', () => {
  const request = {};
  attachAuthentication(request, { apiKey, user });
  expect(authenticationOf(request)).toMatchObject({ apiKey, user });
  expect(request).toMatchObject({ apiKey, user });
});

it.each<[string, (request: object) => object]>([
  ['inherits from it', (request) => Object.create(request)],
  ['is a copy of it', (request) => ({ ...request })],
  ['was assigned all of it', (request) => Object.assign({}, request)],
])('one that %s is not authenticated by that', (_, derive) => {
  const request = {};
  attachAuthentication(request, { apiKey, user });
  expect(authenticationOf(derive(request))).toBeUndefined();
});

it('neither is one that pretends to be, by what a body or a header can fill in', () => {
  expect(authenticationOf(JSON.parse('{"apiKey":{},"user":{"id":1},"request":{}}'))).toBeUndefined();
});

it('a getter that the application put in the way is replaced', () => {
  const request = Object.create(Object.defineProperty({}, 'user', { get: () => 'nobody' }));
  attachAuthentication(request, { apiKey, user });
  expect(request.user).toBe(user);
});
